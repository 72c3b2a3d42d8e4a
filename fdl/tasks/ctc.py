"""Connectionist temporal classification (CTC): transcription without alignment.

Shape legend: B batch, T frames, N symbols, V vocabulary (0 is the blank).
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.ctc_search import transcripts
from fdl.tasks.sums import mean, no_token, weigh


def ctc() -> Task:
    """Make the task of transcription without alignment (Graves et al., 2006), with the CTC loss in nats per utterance.

    outputs: f32[B, T, V], logits; symbol 0 is the blank. Padding frames are silence and decode to blanks.
    targets: i32[B, N], symbols padded with 0; weights: f32[B].
    `error_rate` is the edit distance of the greedy decoding per target symbol, `sequence_accuracy` the fraction of
    utterances without an error. A target that needs more frames than there are, one for each symbol and a blank
    between two equal ones, has no alignment and an infinite loss: `loss` leaves it out and `unalignable` counts it.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.ndim != 3:
            raise UserError(f"ctc() wants logits [B, T, V], the model gives {outputs.shape}; set return_sequences=True")
        logits, labels = outputs.astype(jnp.float32), batch.targets
        possible = frames_needed(labels) <= logits.shape[1]
        loss = optax.ctc_loss(logits, jnp.zeros(logits.shape[:2]), labels, (labels == 0).astype(jnp.float32))
        symbols, emitted = greedy(logits)
        edits = edit_distance(symbols, emitted, labels)
        return {
            "loss": weigh(loss, batch.weights * possible),
            "unalignable": Sum(jnp.sum(~possible & (batch.weights > 0)), jnp.ones(())),
            "edits": Sum(weigh(edits, batch.weights).total, weigh(jnp.sum(labels != 0, -1), batch.weights).total),
            "sequences": weigh(edits == 0, batch.weights),
        }

    return Task(
        name="ctc",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "unalignable": Metric(("unalignable",), lambda s: int(s.total), "lower"),
            "error_rate": mean("edits", "lower"),
            "sequence_accuracy": mean("sequences", "higher"),
        },
        primary="error_rate",
        predict=lambda outputs: {"symbols": jnp.where(greedy(outputs)[1], greedy(outputs)[0], 0)},
        search=transcripts,
        check=no_token,
    )


def frames_needed(labels: Array) -> jax.Array:
    """Return i32[B]: the fewest frames that labels i32[B, N] can be aligned with: a blank stands between equal ones."""
    return jnp.sum(labels != 0, -1) + jnp.sum((labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != 0), -1)


def greedy(logits: Array) -> tuple[jax.Array, jax.Array]:
    """Return the best symbol of every frame, i32[B, T], and whether it is emitted (no blank, no repeat), bool[B, T]."""
    symbols = jnp.argmax(logits, -1)
    repeated = jnp.pad(symbols[:, :-1], ((0, 0), (1, 0))) == symbols
    return symbols, (symbols != 0) & ~repeated


def edit_distance(symbols: Array, emitted: Array, labels: Array) -> jax.Array:
    """Return f32[B], the Levenshtein distance between the emitted symbols and the labels.

    symbols: i32[B, T], of which those with emitted: bool[B, T] count; labels: i32[B, N], padded with 0.
    A scan computes one row of the table per symbol; the insertions along a row are a running minimum.
    """
    position = jnp.arange(labels.shape[1] + 1)[None]

    def advance(row: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        symbol, new = step
        replaced = row[:, :-1] + (labels != symbol[:, None])
        best = jnp.concatenate([row[:, :1] + 1, jnp.minimum(row[:, 1:] + 1, replaced)], 1)
        return jnp.where(new[:, None], position + lax.cummin(best - position, 1), row), None

    first = jnp.broadcast_to(position, (len(labels), position.shape[1]))
    last, _ = lax.scan(advance, first, (jnp.asarray(symbols).T, jnp.asarray(emitted).T))
    length = jnp.sum(labels != 0, -1)
    return jnp.take_along_axis(last, length[:, None], 1)[:, 0].astype(jnp.float32)
