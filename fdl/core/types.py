"""The words every room shares: what a batch is, what a step returns, how a total becomes a metric.

Shape legend: B batch, T time, S steps per call; array totals have whatever shape their task gives them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

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


Sums = Mapping[str, Sum]


class TokenLogits(NamedTuple):
    """Logits of tokens as what they are the product of: `hidden · tableᵀ + bias`, f32[B, T, V], not yet multiplied.

    hidden: array[B, T, D]; table: f32[V, D]; bias: f32[V] or None.
    """

    hidden: jax.Array
    table: jax.Array
    bias: jax.Array | None


class Metric(NamedTuple):
    """How named sums become one number (or one array) on the host.

    reads:  the names of the sums it needs, in the order `finish` takes them.
    finish: `(*sums) -> float | nested list`; each `Sum` arrives as float64 NumPy.
    better: which way is better, or None for what has no direction (a confusion matrix).
    """

    reads: tuple[str, ...]
    finish: Callable[..., Any]
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is asked to do: a function `(outputs, batch) -> Sums`, and how its metrics are finished.

    sums:    pure; always holds "loss", whose total is what `train_step` differentiates.
    metrics: metric name -> Metric. Scalar sums are kept in training, array sums only in evaluation.
    factored: whether `sums` takes `TokenLogits` as well as logits.
    primary: the metric that chooses the best checkpoint and heads the report.
    predict: pure, `outputs -> {column: array[B, ...]}`: what the outputs say, in classes, probabilities or the units of
             the targets. None: the outputs themselves.
    """

    name: str
    sums: Callable[[PyTree, Batch], Sums]
    metrics: Mapping[str, Metric]
    primary: str
    predict: Callable[[PyTree], Mapping[str, Array]] | None = None
    factored: bool = False

    def __call__(self, outputs: PyTree, batch: Batch) -> Sums:
        """Return the sums of a batch."""
        return self.sums(outputs, batch)

    def finish(self, sums: Sums) -> dict[str, Any]:
        """Return every metric whose sums are all present, in the order the task lists them."""
        host = {k: Sum(*(np.asarray(x, np.float64) for x in s)) for k, s in sums.items()}
        return {
            name: metric.finish(*(host[read] for read in metric.reads))
            for name, metric in self.metrics.items()
            if all(read in host for read in metric.reads)
        }


def add_up(calls: Iterable[Sums], to: Sums | None = None) -> dict[str, Sum]:
    """Add the sums that calls returned, each with a leading S, one after another and in float64 on the host."""
    added: dict[str, Sum] = dict(to or {})
    for call in calls:
        for name, stacked in call.items():
            here = Sum(*(np.asarray(x, np.float64).sum(0) for x in stacked))
            added[name] = Sum(*map(np.add, added[name], here)) if name in added else here
    return added


class TrainState(NamedTuple):
    """Everything a run is at one step, and exactly what a checkpoint holds.

    step:   i32[], updates done so far.
    extras: the model's mutable linen collections (batch statistics), {} if it has none.
    key:    a typed PRNG key that is never advanced: each step folds `step` in.
    """

    step: Array
    params: PyTree
    opt_state: PyTree
    extras: PyTree
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
