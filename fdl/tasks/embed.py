"""Likeness: examples of one class near each other, also of classes never seen.

Shape legend: B batch, D width of an embedding, R rows of a split.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core import data_axis
from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.sums import mean, weigh


def embed(
    rows: int, *, loss: Literal["contrastive", "triplet"] = "contrastive", temperature: float = 0.1, margin: float = 0.2
) -> Task:
    """Make the task of embedding: nearest neighbours should share a class.

    outputs: f32[B, D], taken to length 1.
    targets: {"label": i32[B], "row": i32[B]}: the class, and the example's place in its split of at most `rows`.
    weights: f32[B].
    contrastive: each example tells its own class from the rest of the batch (Khosla et al., 2020, at `temperature`).
    triplet: the farthest of its class is nearer by `margin` than the nearest other (Hermans et al., 2017).
    Evaluation compares every example with every other of the split, however it was cut into batches: `retrieval` is the
    share whose nearest other has the same class; `auc` and `eer` (equal error rate) are of telling pairs of one class
    from pairs of two.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        unit = normalize(outputs)
        label, row = batch.targets["label"], batch.targets["row"]
        # Under pmap a shard meets the examples of all the others.
        others, their_label, theirs = data_axis.gather((unit, label, batch.weights))
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
        placed = jnp.concatenate([unit, label[:, None].astype(jnp.float32), jnp.ones((len(unit), 1))], -1)
        placed = jnp.where(batch.weights[:, None] > 0, placed, 0.0)
        return {
            "loss": weigh(values, batch.weights * anchors),
            "embeddings": Sum(jnp.zeros((rows, placed.shape[1])).at[row].add(placed), jnp.sum(batch.weights)),
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
    )


def normalize(outputs: Array) -> jax.Array:
    """Return the vectors f32[..., D] at length 1; a zero stays zero, with a zero gradient."""
    outputs = jnp.asarray(outputs, jnp.float32)
    square = jnp.sum(outputs**2, -1, keepdims=True)
    return outputs * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def _pairs(embeddings: Sum) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeness of every two examples and whether they share a class, f64[n, n] and bool[n, n]."""
    table = np.asarray(embeddings.total)
    present = table[table[:, -1] == 1]
    near = present[:, :-2] @ present[:, :-2].T
    return near, present[:, -2][:, None] == present[:, -2][None]


def retrieval(embeddings: Sum) -> float:
    """Return the share of examples whose nearest other has the same class."""
    near, same = _pairs(embeddings)
    if len(near) < 2:
        return math.nan
    np.fill_diagonal(near, -np.inf)
    return float(np.mean(same[np.arange(len(same)), near.argmax(1)]))


def verification(embeddings: Sum) -> tuple[float, float]:
    """Return the AUC and the equal error rate of telling pairs of one class from pairs of two."""
    near, same = _pairs(embeddings)
    above = np.triu_indices(len(near), 1)
    order = np.argsort(-near[above], kind="stable")
    score, yes = near[above][order], same[above][order]
    if yes.all() or not yes.any():
        return math.nan, math.nan
    ends = np.append(np.diff(score) != 0, True)  # ties are accepted together
    accepted = np.concatenate([[0], np.cumsum(yes)[ends] / yes.sum()])
    falsely = np.concatenate([[0], np.cumsum(~yes)[ends] / (~yes).sum()])
    auc = float(np.trapezoid(accepted, falsely))
    gap = falsely - (1 - accepted)  # rises from -1 to 1; the rates are equal where it crosses 0
    after = int(np.argmax(gap >= 0))
    part = -gap[after - 1] / (gap[after] - gap[after - 1])
    return auc, float(falsely[after - 1] + part * (falsely[after] - falsely[after - 1]))
