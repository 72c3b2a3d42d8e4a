"""What comes next.

Shape legend: B batch, T time, V vocabulary.
"""

import math

from fdl.core.types import Task
from fdl.tasks.sums import best_token, exponential, mean, token_sums


def next_token(*, bytes_per_token: float = 1.0) -> Task:
    """Make the task of predicting each next token, with the cross-entropy in nats per token as its loss.

    outputs: f32[B, T, V], logits; targets: i32[B, T]; weights: f32[B] or f32[B, T].
    bytes_per_token: how many bytes of the text a token stands for on average; `bits_per_byte` compares tokenizers.
    """
    return Task(
        name="next_token",
        sums=token_sums,
        metrics={
            "loss": mean("loss", "lower"),
            "bits_per_byte": mean("loss", "lower", lambda nats: nats / math.log(2) / bytes_per_token),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
        },
        primary="bits_per_byte",
        predict=best_token,
        factored=True,
    )
