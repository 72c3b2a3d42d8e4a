"""One sequence into another.

Shape legend: B batch, T time, V vocabulary.
"""

import jax.numpy as jnp

from fdl.tasks.sums import best_token, exponential, mean, spread, token_sums, weigh
from fdl.types import Array, Batch, Sums, Task


def seq2seq() -> Task:
    """Make the task of writing a target sequence token by token, each given the right ones before it.

    outputs: f32[B, T, V], logits under teacher forcing; targets: i32[B, T]; weights: f32[B, T], 0 after the stop token.
    `sequence_accuracy` is the share of targets that are right in every token: exactly those that greedy decoding,
    which feeds the model its own guesses, writes without a fault.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        weights = spread(batch.weights, batch.targets.shape)
        right = jnp.all((jnp.argmax(outputs, -1) == batch.targets) | (weights == 0), -1)
        return {**token_sums(outputs, batch), "sequences": weigh(right, jnp.max(weights, -1))}

    return Task(
        name="seq2seq",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
            "sequence_accuracy": mean("sequences", "higher"),
        },
        primary="sequence_accuracy",
        predict=best_token,
    )
