"""The words every room shares: what a batch is, what a step returns, how a total becomes a metric.

Shape legend: B batch, T time, S steps per call; array totals have whatever shape their task gives them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

SPLITS = ("train", "validation", "test")

Array = jax.Array | np.ndarray
PyTree = Any


class Batch(NamedTuple):
    """B examples side by side; without the leading dimension, one example.

    inputs:  array[B, ...], or a mapping of the model's argument names to such arrays.
    targets: array[B, ...] (or a pytree of them), or None where the task needs none.
    weights: f32[B] or f32[B, T]; what weighs 0 is padding and changes nothing.
    """

    inputs: PyTree
    targets: PyTree
    weights: Array


class Sum(NamedTuple):
    """A total and the weight it was taken over: means are `total / weight`, taken last and on the host."""

    total: Array
    weight: Array


class Unreduced(NamedTuple):
    """What a metric needs of each row and no total can give (a rank, a pair): kept side by side instead of added.

    total: array[B, ...], one entry per row; weight: f32[B], 0 for a row that does not count. Evaluation alone keeps
    them; on the host all rows of a split lie one after another.
    """

    total: Array
    weight: Array


Sums = Mapping[str, Sum | Unreduced]


class TokenLogits(NamedTuple):
    """Logits of tokens as what they are the product of: `hidden · tableᵀ + bias`, f32[B, T, V], not yet multiplied.

    hidden: array[B, T, D]; table: f32[V, D]; bias: f32[V] or None.
    """

    hidden: jax.Array
    table: jax.Array
    bias: jax.Array | None


class Metric(NamedTuple):
    """How named sums become one number (or one array) on the host.

    reads:    the names of the sums it needs, in the order `finish` takes them.
    finish:   `(*sums) -> float | nested list`; each arrives as float64 NumPy, an `Unreduced` without rows of weight 0.
    better:   which way is better, or None for what has no direction (a confusion matrix).
    by_split: `finish` also takes the name of the split, as the keyword `split`.
    """

    reads: tuple[str, ...]
    finish: Callable[..., Any]
    better: Literal["higher", "lower"] | None = None
    by_split: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is asked to do: a function `(outputs, batch) -> Sums`, and how its metrics are finished.

    sums:    pure; always holds "loss", whose total is what `train_step` differentiates.
    metrics: metric name -> Metric. Scalar sums are kept in training, array sums only in evaluation.
    factored: whether `sums` takes `TokenLogits` as well as logits.
    primary: the metric that chooses the best checkpoint and heads the report.
    predict: pure, `outputs -> {column: array[B, ...]}`: what the outputs log, in classes, probabilities or the units of
             the targets. None: the outputs themselves.
    check:   `targets -> (row, what is wrong)` of the first row of NumPy targets [n, ...] that cannot be, None where all
             can. What it refuses would train to a number that means nothing.
    """

    name: str
    sums: Callable[[PyTree, Batch], Sums]
    metrics: Mapping[str, Metric]
    primary: str
    predict: Callable[[PyTree], Mapping[str, Array]] | None = None
    factored: bool = False
    check: Callable[[PyTree], tuple[int, str] | None] | None = None

    def __call__(self, outputs: PyTree, batch: Batch) -> Sums:
        """Return the sums of a batch."""
        return self.sums(outputs, batch)

    def finish(self, sums: Sums, split: str = "train") -> dict[str, Any]:
        """Return every metric whose sums are all present, in the order the task lists them."""
        host = {name: _on_host(found) for name, found in sums.items()}
        return {
            name: metric.finish(*(host[read] for read in metric.reads), **({"split": split} if metric.by_split else {}))
            for name, metric in self.metrics.items()
            if all(read in host for read in metric.reads)
        }


def _on_host(found: Sum | Unreduced) -> Sum | Unreduced:
    """Return float64 NumPy arrays; of rows only those that weigh anything."""
    total, weight = (np.asarray(x, np.float64) for x in found)
    return Unreduced(total[weight != 0], weight[weight != 0]) if isinstance(found, Unreduced) else Sum(total, weight)


def add_up(calls: Iterable[Sums], to: Sums | None = None) -> dict[str, Sum | Unreduced]:
    """Add the sums that calls returned, each with a leading S, one after another and in float64 on the host.

    What is unreduced is laid end to end instead.
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
    return {**added, **{name: _end_to_end(parts) for name, parts in rows.items()}}


def _end_to_end(parts: Sequence[Unreduced]) -> Unreduced:
    """Join rows [..., B, ...] along B, the last dimension of their weights."""
    along = np.ndim(parts[0].weight) - 1
    return Unreduced(*(np.concatenate(arrays, along) for arrays in zip(*parts, strict=True)))


class TrainState(NamedTuple):
    """Everything a run is at one step, and exactly what a checkpoint holds.

    step:   i32[], updates done so far.
    model_state: the model's mutable linen collections (batch statistics), {} if it has none.
    key:    a typed PRNG key that is never advanced: each step folds `step` in.
    """

    step: Array
    params: PyTree
    opt_state: PyTree
    model_state: PyTree
    key: Array


class Rows(NamedTuple):
    """Which examples a batch is made of: what the host sends where the data already lives on the device.

    indices: i32[B], positions in a split; weights: f32[B], 0 for what only fills the shape (and repeats row 0). For a
    chunk of S batches both have a leading S.
    """

    indices: Array
    weights: Array


# A Step is a pure function `(state, batch, *constants) -> (state, sums)`: the body that `lax.scan` wants.
Step = Callable[..., tuple[TrainState, Sums]]
