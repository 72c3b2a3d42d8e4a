"""One sequence into another.

Shape legend: B batch, T time, V vocabulary.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from fdl.core.types import Array, Batch, Sum, Sums, Task
from fdl.tasks.ctc import edit_distance
from fdl.tasks.sums import best_token, exponential, mean, spread, token_sums, weigh

Outputs = Array | Mapping[str, Array]


def seq2seq(*, stop: int | None = None) -> Task:
    """Make the task of writing a target sequence token by token, each given the right ones before it.

    outputs: f32[B, T, V], logits under teacher forcing; or {"logits": these} and, where the model wrote by itself,
             "greedy" and "beam", i32[B, T]. targets: i32[B, T]; weights: f32[B, T], 0 after the stop token.
    stop:    the token that ends what is written, which counts as no mistake; token 0 is padding.
    `sequence_accuracy` is the share of targets that are right in every token: exactly those that greedy decoding,
    which feeds the model its own guesses, writes without a fault. `error_rate` is the edit distance of what was written
    greedily per token of the target; `beam_accuracy` and `beam_error_rate` are of what the beam found.
    """

    def sums(outputs: Outputs, batch: Batch) -> Sums:
        logits, written = _parts(outputs)
        weights = spread(batch.weights, batch.targets.shape)
        right = jnp.all((jnp.argmax(logits, -1) == batch.targets) | (weights == 0), -1)
        row = jnp.max(weights, -1)
        labels = jnp.where((weights > 0) & (batch.targets != stop), batch.targets, 0)
        found: dict[str, Sum] = {**token_sums(logits, batch), "sequences": weigh(right, row)}
        for way, tokens in written.items():
            edits = edit_distance(tokens, jnp.cumsum(tokens == stop, -1) == 0, labels)
            found[f"{way}_edits"] = Sum(weigh(edits, row).total, weigh(jnp.sum(labels != 0, -1), row).total)
            found[f"{way}_right"] = weigh(edits == 0, row)
        return found

    return Task(
        name="seq2seq",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "perplexity": mean("loss", "lower", exponential),
            "accuracy": mean("correct", "higher"),
            "sequence_accuracy": mean("sequences", "higher"),
            "error_rate": mean("greedy_edits", "lower"),
            "beam_accuracy": mean("beam_right", "higher"),
            "beam_error_rate": mean("beam_edits", "lower"),
        },
        primary="sequence_accuracy",
        predict=lambda outputs: {**best_token(_parts(outputs)[0]), **_parts(outputs)[1]},
    )


def _parts(outputs: Outputs) -> tuple[Array, dict[str, Array]]:
    """Return the logits and what the model wrote by itself."""
    if not isinstance(outputs, Mapping):
        return outputs, {}
    return outputs["logits"], {way: jnp.asarray(outputs[way]) for way in ("greedy", "beam") if way in outputs}
