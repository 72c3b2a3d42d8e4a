"""Likeness: examples of one class near each other, also of classes never seen.

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
    """Make the task of embedding: nearest neighbours should share a class.

    outputs: f32[B, D], taken to length 1.
    targets: {"label": i32[B], "row": i32[B]}: the class, and the example's place in its split of at most `rows`, which
             the check holds: a page that was written for another split is refused.
    weights: f32[B].
    contrastive: each example tells its own class from the rest of the batch (Khosla et al., 2020, at `temperature`).
    triplet: the farthest of its class is nearer by `margin` than the nearest other (Hermans et al., 2017).
    Evaluation compares every example with every other of the split, however it was cut into batches: `retrieval` is the
    share whose nearest other has the same class; `auc` and `eer` (equal error rate) are of telling pairs of one class
    from pairs of two.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        unit = normalize(outputs)
        label = batch.targets["label"]
        # Under pmap a shard meets the examples of all the others.
        others, their_label, theirs = data_axis.all_gather((unit, label, batch.weights))
        other = (data_axis.rows(len(unit))[:, None] != jnp.arange(len(others))[None]) & (theirs[None] > 0)
        same = other & (label[:, None] == their_label[None])
        different = other & ~same
        near = unit @ others.T
        if loss == "contrastive":
            share = jax.nn.log_softmax(jnp.where(other, near / temperature, -1e9))
            values = -jnp.sum(share, -1, where=same) / jnp.maximum(jnp.sum(same, -1), 1)
            anchors = jnp.any(same, -1)
        else:
            farthest = jnp.min(near, -1, where=same, initial=1.0)
            nearest = jnp.max(near, -1, where=different, initial=-1.0)
            values = jax.nn.relu(nearest - farthest + margin)
            anchors = jnp.any(same, -1) & jnp.any(different, -1)
        judged = jnp.concatenate([unit, label[:, None].astype(jnp.float32), jnp.ones((len(unit), 1))], -1)
        judged = jnp.where(batch.weights[:, None] > 0, judged, 0.0)
        return {
            "loss": weigh(values, batch.weights * anchors),
            "embeddings": Unreduced(judged, batch.weights.astype(jnp.float32)),
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
    """Return the vectors f32[..., D] at length 1; a zero stays zero, with a zero gradient."""
    outputs = jnp.asarray(outputs, jnp.float32)
    square = jnp.sum(outputs**2, -1, keepdims=True)
    return outputs * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def retrieval(embeddings: Unreduced) -> float:
    """Return the share of examples whose nearest other has the same class; of equally near ones the first counts."""
    unit, label = _judged(embeddings)
    if len(unit) < 2:
        return math.nan
    right = 0
    for at, near in _near(unit):
        near[np.arange(len(near)), at + np.arange(len(near))] = -np.inf
        nearest = near.argmax(1)
        alike = label[nearest] == label[at : at + len(near)]
        right += int(np.count_nonzero(alike & (near.max(1) > -np.inf)))
    return right / len(unit)


def verification(embeddings: Unreduced) -> tuple[float, float]:
    """Return the AUC and the equal error rate of telling pairs of one class from pairs of two.

    The pairs of one class are sorted, those of two are counted between them block by block: they are never held
    together.
    """
    unit, label = _judged(embeddings)
    same = np.concatenate([near[pair & alike] for near, alike, pair in _pairs(unit, label)] or [unit[:0, 0]])
    levels, ties = np.unique(same, return_counts=True)
    under, upto = np.zeros(len(levels), int), np.zeros(len(levels), int)  # pairs of two classes below and up to a level
    differing = 0
    for near, alike, pair in _pairs(unit, label):
        apart = np.sort(near[pair & ~alike])
        under += np.searchsorted(apart, levels)
        upto += np.searchsorted(apart, levels, "right")
        differing += len(apart)
    if not differing or not len(levels):
        return math.nan, math.nan
    # Below the first level, at it, between it and the next, at that, ...: only there the curve has corners.
    between = np.diff(np.concatenate([[0], np.stack([under, upto], 1).reshape(-1), [differing]]))
    falsely = np.concatenate([[0], np.cumsum(between[::-1])]) / differing
    found = np.zeros(len(between))
    found[1::2] = ties
    accepted = np.concatenate([[0], np.cumsum(found[::-1])]) / len(same)
    gap = falsely - (1 - accepted)  # rises from -1 to 1; the rates are equal where it crosses 0
    after = int(np.argmax(gap >= 0))
    part = -gap[after - 1] / (gap[after] - gap[after - 1])
    error = falsely[after - 1] + part * (falsely[after] - falsely[after - 1])
    return float(np.trapezoid(accepted, falsely)), float(error)


def _judged(embeddings: Unreduced) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors f64[n, D] at length 1 and the classes f64[n]."""
    table = np.asarray(embeddings.total)
    return table[:, :-2], table[:, -2]


def _near(unit: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the likeness f64[b, n] of some examples with all, and the number of the first of them.

    What is not a number is like nothing.
    """
    block = max(1, _TOGETHER // max(1, len(unit)))
    for at in range(0, len(unit), block):
        near = unit[at : at + block] @ unit.T
        near[np.isnan(near)] = -np.inf
        yield at, near


def _pairs(unit: np.ndarray, label: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for [b, n] pairs their likeness, whether they share a class, and whether they are met the first time."""
    for at, near in _near(unit):
        rows = at + np.arange(len(near))[:, None]
        yield near, label[rows] == label[None], rows < np.arange(len(unit))[None]


_TOGETHER = 2**19  # pairs that are looked at together
