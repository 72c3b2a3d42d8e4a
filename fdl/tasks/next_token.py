"""What comes next.

Shape legend: B batch, T time, V vocabulary.
"""

import math

import jax.numpy as jnp
import optax

from fdl.tasks.sums import exponential, mean, weigh
from fdl.types import Array, Batch, Sums, Task


def next_token(*, bytes_per_token: float = 1.0) -> Task:
    """Make the task of predicting each next token, with the cross-entropy in nats per token as its loss.

    outputs: f32[B, T, V], logits; targets: i32[B, T]; weights: f32[B] or f32[B, T].
    bytes_per_token: how many bytes of the text a token stands for on average; `bits_per_byte` compares tokenizers.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        targets = batch.targets.astype(jnp.int32)
        if outputs.shape[:-1] != targets.shape:
            raise ValueError(
                f"next_token() wants logits for each of the targets {targets.shape}, the model gives {outputs.shape};"
                " ask it for every step's output"
            )
        logits = outputs.astype(jnp.float32)
        return {
            "loss": weigh(optax.softmax_cross_entropy_with_integer_labels(logits, targets), batch.weights),
            "correct": weigh(jnp.argmax(logits, -1) == targets, batch.weights),
        }

    return Task(
        name="next_token",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "bits_per_byte": mean("loss", "lower", lambda nats: nats / math.log(2) / bytes_per_token),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
        },
        primary="bits_per_byte",
    )
