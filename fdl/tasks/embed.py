"""Metric learning: embeddings in which examples of one class are near each other, also of unseen classes.

Shape legend: B batch, D width of an embedding, R rows of a split.
"""

import math
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core import data_axis
from fdl.core.types import Array, Batch, Metric, Sums, Task, Unreduced
from fdl.tasks.sums import mean, outside, weigh


def embed(
    rows: int, *, loss: Literal["contrastive", "triplet"] = "contrastive", temperature: float = 0.1, margin: float = 0.2
) -> Task:
    """Make the task of metric learning with a contrastive or a triplet loss.

    outputs: f32[B, D], normalised to length 1.
    targets: {"label": i32[B], "row": i32[B]}: the class, and the example's row in its split, less than `rows`, which
             `check` verifies: a page written for another split is refused.
    weights: f32[B].
    contrastive: supervised contrastive loss over the batch (Khosla et al., 2020, at `temperature`).
    triplet: batch-hard triplet loss: the farthest positive against the nearest negative (Hermans et al., 2017).
    Evaluation compares all pairs of the split, whatever the batching: `retrieval` is recall@1, the fraction of examples
    whose nearest neighbour has the same class; `auc` and `eer` (equal error rate) are of verification: pairs of one
    class against pairs of two.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        unit = normalize(outputs)
        label = batch.targets["label"]
        # Under pmap the examples of the other shards are gathered, so that the loss is that of the whole batch.
        others, other_labels, other_weights = data_axis.all_gather((unit, label, batch.weights))
        other = (data_axis.rows(len(unit))[:, None] != jnp.arange(len(others))[None]) & (other_weights[None] > 0)
        same = other & (label[:, None] == other_labels[None])
        different = other & ~same
        similarity = unit @ others.T
        if loss == "contrastive":
            share = jax.nn.log_softmax(jnp.where(other, similarity / temperature, -1e9))
            values = -jnp.sum(share, -1, where=same) / jnp.maximum(jnp.sum(same, -1), 1)
            anchors = jnp.any(same, -1)
        else:
            farthest = jnp.min(similarity, -1, where=same, initial=1.0)
            nearest = jnp.max(similarity, -1, where=different, initial=-1.0)
            values = jax.nn.relu(nearest - farthest + margin)
            anchors = jnp.any(same, -1) & jnp.any(different, -1)
        embedded = jnp.concatenate([unit, label[:, None].astype(jnp.float32), jnp.ones((len(unit), 1))], -1)
        embedded = jnp.where(batch.weights[:, None] > 0, embedded, 0.0)
        return {
            "loss": weigh(values, batch.weights * anchors),
            "embeddings": Unreduced(embedded, batch.weights.astype(jnp.float32)),
        }

    return Task(
        name="embed",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "retrieval": Metric(("embeddings",), retrieval, "higher"),
            "auc": Metric(("embeddings",), lambda s: verification(s)[0], "higher"),
            "eer": Metric(("embeddings",), lambda s: verification(s)[1], "lower"),
        },
        primary="retrieval",
        predict=lambda outputs: {"embedding": normalize(outputs)},
        check=lambda targets: outside(targets["row"], 0, rows - 1, f"one of the rows=0 to {rows - 1} of embed({rows})"),
    )


def normalize(outputs: Array) -> jax.Array:
    """Normalise vectors f32[..., D] to length 1; a zero vector stays zero, with a zero gradient."""
    outputs = jnp.asarray(outputs, jnp.float32)
    square = jnp.sum(outputs**2, -1, keepdims=True)
    return outputs * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def retrieval(embeddings: Unreduced) -> float:
    """Return recall@1: the fraction of examples whose nearest neighbour shares their class; ties go to the first."""
    unit, label = _unpack(embeddings)
    if len(unit) < 2:
        return math.nan
    right = 0
    for at, similarity in _similarities(unit):
        similarity[np.arange(len(similarity)), at + np.arange(len(similarity))] = -np.inf
        nearest = similarity.argmax(1)
        alike = label[nearest] == label[at : at + len(similarity)]
        right += int(np.count_nonzero(alike & (similarity.max(1) > -np.inf)))
    return right / len(unit)


def verification(embeddings: Unreduced) -> tuple[float, float]:
    """Return the AUC and the equal error rate of verification: pairs of one class against pairs of two.

    Positive pairs are sorted; negative pairs are counted between them block by block, never all in memory.
    """
    unit, label = _unpack(embeddings)
    same = np.concatenate(
        [similarity[pair & alike] for similarity, alike, pair in _pairs(unit, label)] or [unit[:0, 0]]
    )
    levels, ties = np.unique(same, return_counts=True)
    under, upto = np.zeros(len(levels), int), np.zeros(len(levels), int)  # negative pairs below and up to a level
    differing = 0
    for similarity, alike, pair in _pairs(unit, label):
        negatives = np.sort(similarity[pair & ~alike])
        under += np.searchsorted(negatives, levels)
        upto += np.searchsorted(negatives, levels, "right")
        differing += len(negatives)
    if not differing or not len(levels):
        return math.nan, math.nan
    # Negative pairs below the first level, at it, between it and the next, ...: the corners of the ROC curve.
    between = np.diff(np.concatenate([[0], np.stack([under, upto], 1).reshape(-1), [differing]]))
    false_accepts = np.concatenate([[0], np.cumsum(between[::-1])]) / differing
    positives = np.zeros(len(between))
    positives[1::2] = ties
    accepted = np.concatenate([[0], np.cumsum(positives[::-1])]) / len(same)
    gap = false_accepts - (1 - accepted)  # rises from -1 to 1; the error rates are equal where it crosses 0
    after = int(np.argmax(gap >= 0))
    part = -gap[after - 1] / (gap[after] - gap[after - 1])
    error = false_accepts[after - 1] + part * (false_accepts[after] - false_accepts[after - 1])
    return float(np.trapezoid(accepted, false_accepts)), float(error)


def _unpack(embeddings: Unreduced) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalised vectors f64[n, D] and the classes f64[n]."""
    table = np.asarray(embeddings.total)
    return table[:, :-2], table[:, -2]


def _similarities(unit: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of the first example of each block, and the block's similarities f64[b, n] with all examples.

    A NaN similarity counts as -inf.
    """
    block = max(1, _BLOCK_PAIRS // max(1, len(unit)))
    for at in range(0, len(unit), block):
        similarity = unit[at : at + block] @ unit.T
        similarity[np.isnan(similarity)] = -np.inf
        yield at, similarity


def _pairs(unit: np.ndarray, label: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for [b, n] pairs their similarity, whether they share a class, whether they are in the upper triangle."""
    for at, similarity in _similarities(unit):
        rows = at + np.arange(len(similarity))[:, None]
        yield similarity, label[rows] == label[None], rows < np.arange(len(unit))[None]


_BLOCK_PAIRS = 2**19  # pairs of a block
