"""Masked language modelling.

Shape legend: B batch, T time, V vocabulary.
"""

from fdl.core.types import Task
from fdl.tasks.sums import best_token, exponential, mean, no_token, token_sums


def masked_token() -> Task:
    """Make the task of predicting masked tokens (Devlin et al., 2019), with the cross-entropy in nats as its loss.

    outputs: f32[B, T, V], logits; targets: i32[B, T], the original tokens; weights: f32[B, T], 0 where not masked.
    """
    return Task(
        name="masked_token",
        sums=token_sums,
        metrics={
            "loss": mean("loss", "lower"),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
        },
        primary="loss",
        predict=best_token,
        check=no_token,
        factored=True,
    )
