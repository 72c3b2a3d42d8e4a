"""Core types: batches, sums, metrics, tasks and the training state.

Shape legend: B batch, T time, S steps per call; array totals have whatever shape their task gives them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SPLITS = ("train", "validation", "test")

Array = jax.Array | np.ndarray
PyTree = Any


class Batch(NamedTuple):
    """B examples with a leading batch dimension; without it, one example.

    inputs:  array[B, ...], or a mapping of the model's argument names to such arrays.
    targets: array[B, ...] (or a pytree of them), or None where the task needs none.
    weights: f32[B] or f32[B, T]; weight 0 marks padding, which has no effect.
    """

    inputs: PyTree
    targets: PyTree
    weights: Array


class Sum(NamedTuple):
    """A weighted total and its total weight; the mean `total / weight` is computed last, on the host."""

    total: Array
    weight: Array


class Unreduced(NamedTuple):
    """Per-row values for metrics that no running total gives (ranks, pairs): concatenated, not summed.

    total: array[B, ...], one entry per row; weight: f32[B], 0 for a row that does not count. Only evaluation keeps
    them; the host concatenates all rows of a split.
    """

    total: Array
    weight: Array


Sums = Mapping[str, Sum | Unreduced]


class TokenLogits(NamedTuple):
    """Token logits f32[B, T, V] as their factors, `hidden · tableᵀ + bias`, not yet multiplied.

    hidden: array[B, T, D]; table: f32[V, D]; bias: f32[V] or None.
    """

    hidden: jax.Array
    table: jax.Array
    bias: jax.Array | None


class Metric(NamedTuple):
    """How named sums become one metric, a number or an array, on the host.

    reads:    names of the sums it needs, in the order of `finish`'s arguments.
    finish:   `(*sums) -> float | nested list`; each arrives as float64 NumPy, an `Unreduced` without rows of weight 0.
    better:   which direction is better; None for a metric without one (a confusion matrix).
    by_split: `finish` also takes the keyword `split`, the name of the split.
    """

    reads: tuple[str, ...]
    finish: Callable[..., Any]
    better: Literal["higher", "lower"] | None = None
    by_split: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """Loss and metrics: a function `(outputs, batch) -> Sums`, and how metrics are computed from the sums.

    sums:    pure; always holds "loss", whose total is what `train_step` differentiates.
    metrics: metric name -> Metric. Scalar sums are computed in training and evaluation, array sums only in evaluation.
    factored: whether `sums` takes `TokenLogits` as well as logits.
    primary: the metric that heads the report.
    predict: pure, `outputs -> {column: array[B, ...]}`: predictions as classes, probabilities or values in the units
             of the targets. None: the outputs themselves.
    encode:  of a task of numbers, `values f[n, ...] -> outputs`, in NumPy: the outputs that predict these values.
    search:  `(log-probabilities f32[B, T, V] of the outputs, beam width) -> (i32[B, N], f64[B])` on the host: sequences
             padded with 0 and their log-probabilities, where outputs have to be decoded.
    check:   `targets -> (row, what is wrong)` for the first invalid row of NumPy targets [n, ...], None if all are
             valid. Invalid targets would give a meaningless loss without an error.
    """

    name: str
    sums: Callable[[PyTree, Batch], Sums]
    metrics: Mapping[str, Metric]
    primary: str
    predict: Callable[[PyTree], Mapping[str, Array]] | None = None
    encode: Callable[[np.ndarray], np.ndarray] | None = None
    search: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]] | None = None
    factored: bool = False
    check: Callable[[PyTree], tuple[int, str] | None] | None = None

    def __call__(self, outputs: PyTree, batch: Batch) -> Sums:
        """Return the sums of a batch; outputs and targets of weight 0 may be anything, even NaN."""
        outputs, targets = mask_zero_weight((outputs, batch.targets), batch.weights)
        return self.sums(outputs, batch._replace(targets=targets))

    def finish(self, sums: Sums, split: str = "train") -> dict[str, Any]:
        """Return every metric whose sums are all present, in the order of `metrics`."""
        host = {name: _on_host(value) for name, value in sums.items()}
        return {
            name: metric.finish(*(host[read] for read in metric.reads), **({"split": split} if metric.by_split else {}))
            for name, metric in self.metrics.items()
            if all(read in host for read in metric.reads)
        }


def mask_zero_weight(values: PyTree, weights: Array) -> PyTree:
    """Return the values with zeros where the weight is 0, so that no NaN from there reaches a sum or a gradient.

    values: pytree of [B, ...]; weights: f32 of a leading part of their shapes. Integers and other shapes stay.
    """

    def one(x: Any) -> Any:
        if isinstance(x, TokenLogits):  # of which only the hidden states have rows
            return x._replace(hidden=one(x.hidden))
        if not jnp.issubdtype(x.dtype, jnp.inexact) or x.shape[: weights.ndim] != weights.shape:
            return x
        return jnp.where(weights.reshape(weights.shape + (1,) * (x.ndim - weights.ndim)) == 0, 0.0, x)

    return jax.tree.map(one, values, is_leaf=lambda x: isinstance(x, TokenLogits))


def _on_host(value: Sum | Unreduced) -> Sum | Unreduced:
    """Return float64 NumPy arrays, of `Unreduced` only the rows of non-zero weight."""
    total, weight = (np.asarray(x, np.float64) for x in value)
    return Unreduced(total[weight != 0], weight[weight != 0]) if isinstance(value, Unreduced) else Sum(total, weight)


def add_up(calls: Iterable[Sums], to: Sums | None = None) -> dict[str, Sum | Unreduced]:
    """Add the sums of several calls, each with a leading S, in order and in float64 on the host.

    `Unreduced` rows are concatenated instead.
    """
    added: dict[str, Sum | Unreduced] = {}
    rows: dict[str, list[Unreduced]] = {}
    for name, before in (to or {}).items():
        if isinstance(before, Unreduced):
            rows[name] = [before]
        else:
            added[name] = before
    for call in calls:
        for name, stacked in call.items():
            if isinstance(stacked, Unreduced):
                rows.setdefault(name, []).extend(map(Unreduced, *map(np.asarray, stacked)))
                continue
            here = Sum(*(np.asarray(x, np.float64).sum(0) for x in stacked))
            added[name] = Sum(*map(np.add, added[name], here)) if name in added else here
    return {**added, **{name: _concatenate(parts) for name, parts in rows.items()}}


def _concatenate(parts: Sequence[Unreduced]) -> Unreduced:
    """Concatenate rows [..., B, ...] along B, the last dimension of their weights."""
    along = np.ndim(parts[0].weight) - 1
    return Unreduced(*(np.concatenate(arrays, along) for arrays in zip(*parts, strict=True)))


class TrainState(NamedTuple):
    """The complete training state at one step: exactly what a checkpoint holds.

    step:   i32[], updates done so far.
    model_state: the model's mutable linen collections (batch statistics), {} if it has none.
    key:    a typed PRNG key, never advanced: each step folds in `step`.
    """

    step: Array
    params: PyTree
    opt_state: PyTree
    model_state: PyTree
    key: Array


class Rows(NamedTuple):
    """A batch as indices into device-resident arrays, so that the host sends no example data.

    indices: i32[B], row numbers in a split; weights: f32[B], 0 for padding rows (which repeat row 0). For a chunk of S
    batches both have a leading S.
    """

    indices: Array
    weights: Array


# A Step is a pure function `(state, batch, *constants) -> (state, sums)`, usable as the body of `lax.scan`.
Step = Callable[..., tuple[TrainState, Sums]]
