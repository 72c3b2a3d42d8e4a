"""Causal language modelling.

Shape legend: B batch, T time, V vocabulary.
"""

import math
from collections.abc import Mapping

from fdl.core.types import Metric, Sum, Task
from fdl.tasks.sums import best_token, exponential, mean, no_token, ratio, token_sums


def next_token(*, bytes_per_token: float | Mapping[str, float] = 1.0) -> Task:
    """Make the task of predicting each next token, with the cross-entropy in nats per token as its loss.

    outputs: f32[B, T, V], logits; targets: i32[B, T]; weights: f32[B] or f32[B, T].
    bytes_per_token: average bytes of text per token, per split where they differ, for `bits_per_byte`, which is
                     comparable between tokenizers.
    """

    def bits_per_byte(loss: Sum, *, split: str) -> float:
        size = bytes_per_token[split] if isinstance(bytes_per_token, Mapping) else bytes_per_token
        return ratio(loss.total, loss.weight) / math.log(2) / size

    return Task(
        name="next_token",
        sums=token_sums,
        metrics={
            "loss": mean("loss", "lower"),
            "bits_per_byte": Metric(("loss",), bits_per_byte, "lower", by_split=True),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
        },
        primary="bits_per_byte",
        predict=best_token,
        check=no_token,
        factored=True,
    )
