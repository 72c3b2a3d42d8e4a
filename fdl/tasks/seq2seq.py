"""Sequence to sequence.

Shape legend: B batch, T time, V vocabulary.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from fdl.core.types import Array, Batch, Sum, Sums, Task
from fdl.tasks.ctc import edit_distance
from fdl.tasks.sums import best_token, exponential, mean, no_token, spread, token_sums, weigh

Outputs = Array | Mapping[str, Array]


def seq2seq(*, stop: int | None = None) -> Task:
    """Make the task of generating a target sequence, trained with teacher forcing.

    outputs: f32[B, T, V], logits under teacher forcing; or {"logits": these} and, from autoregressive decoding,
             "greedy" and "beam", i32[B, T]. targets: i32[B, T]; weights: f32[B, T], 0 after the stop token.
    stop:    the end token, which is excluded from the edit distance; token 0 is padding.
    `sequence_accuracy` is the fraction of targets with every token correct, which are exactly those that greedy
    decoding generates without an error. `error_rate` is the edit distance of the greedy decoding per target token;
    `beam_accuracy` and `beam_error_rate` are those of beam search.
    """

    def sums(outputs: Outputs, batch: Batch) -> Sums:
        logits, decoded = _parts(outputs)
        weights = spread(batch.weights, batch.targets.shape)
        right = jnp.all((jnp.argmax(logits, -1) == batch.targets) | (weights == 0), -1)
        row = jnp.max(weights, -1)
        labels = jnp.where((weights > 0) & (batch.targets != stop), batch.targets, 0)
        totals: dict[str, Sum] = {**token_sums(logits, batch), "sequences": weigh(right, row)}
        for method, tokens in decoded.items():
            edits = edit_distance(tokens, jnp.cumsum(tokens == stop, -1) == 0, labels)
            totals[f"{method}_edits"] = Sum(weigh(edits, row).total, weigh(jnp.sum(labels != 0, -1), row).total)
            totals[f"{method}_right"] = weigh(edits == 0, row)
        return totals

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
        check=no_token,
    )


def _parts(outputs: Outputs) -> tuple[Array, dict[str, Array]]:
    """Return the logits and the decoded sequences by method."""
    if not isinstance(outputs, Mapping):
        return outputs, {}
    return outputs["logits"], {
        method: jnp.asarray(outputs[method]) for method in ("greedy", "beam") if method in outputs
    }
