"""How a task adds up, and how sums become metrics.

Shape legend: B batch, K classes.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from fdl.types import Array, Metric, Sum


def spread(weights: Array, shape: tuple[int, ...]) -> Array:
    """Repeat weights f32[B] or f32[B, T] over the dimensions they lack, up to `shape`."""
    weights = jnp.asarray(weights, jnp.float32)
    if weights.shape != shape[: weights.ndim]:
        raise ValueError(f"weights {weights.shape} do not lead {shape}; give one weight per row or per element")
    return jnp.broadcast_to(weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim)), shape)


def weigh(values: Array, weights: Array) -> Sum:
    """Add `values` by weight; a value that weighs 0 may be anything, even NaN.

    values: [B, ...]; weights: f32[B] or of any leading part of the shape of `values`.
    """
    weights = spread(weights, values.shape)
    kept = jnp.where(weights == 0, 0.0, values.astype(jnp.float32))
    return Sum(jnp.sum(kept * weights), jnp.sum(weights))


def tally(labels: Array, predicted: Array, weights: Array, shape: tuple[int, int]) -> Sum:
    """Count rows by weight in a table f32[label, predicted] of the given shape.

    labels, predicted: i32[...]; weights: f32 of the same shape.
    """
    table = jnp.zeros(shape, jnp.float32).at[labels, predicted].add(weights)
    return Sum(table, jnp.sum(weights))


def ratio(part: Array | float, whole: Array | float) -> float:
    """Divide, and answer nan where there is nothing to divide by."""
    return float(part / whole) if whole != 0 else math.nan


def mean(name: str, better: Literal["higher", "lower"], then: Callable[[float], float] = float) -> Metric:
    """Make the metric `then(total / weight)` of the sum called `name`."""
    return Metric((name,), lambda s: then(ratio(s.total, s.weight)), better)


def exponential(value: float) -> float:
    """Return e to the value, infinite rather than an error where that overflows."""
    return math.exp(value) if not value > 700 else math.inf
