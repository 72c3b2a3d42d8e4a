"""Continuous outputs.

Shape legend: B batch, D values per example.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.sums import mean, spread, weigh


def regress(*, center: float | Sequence[float] = 0.0, scale: float | Sequence[float] = 1.0) -> Task:
    """Make the task of predicting one or more continuous values, with the mean squared error as its loss.

    outputs: f32[B] or f32[B, D], in standard units: a prediction is `outputs * scale + center`.
    targets: [B] or [B, D], in their own units; weights: f32[B] or f32[B, D].
    center, scale: the mean and the standard deviation of the training targets, one or one per value. The loss is in
    standard units, RMSE and MAE in those of the targets; R² is averaged evenly over the D values.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        size = len(outputs)
        if outputs.size != batch.targets.size:
            raise ValueError(f"regress() wants one output per target, has {outputs.shape} for {batch.targets.shape}")
        outputs = outputs.reshape(size, -1).astype(jnp.float32)
        unit, middle = each(scale, outputs), each(center, outputs)
        targets = (batch.targets.reshape(size, -1).astype(jnp.float32) - middle) / unit
        weights = spread(batch.weights, outputs.shape)
        error = jnp.where(weights == 0, 0.0, outputs - targets)
        targets = jnp.where(weights == 0, 0.0, targets)
        per_value = jnp.stack([jnp.sum(weights * x, 0) for x in (error**2, targets, targets**2, jnp.ones_like(error))])
        return {
            "loss": weigh(error**2, weights),
            "squared": weigh((error * unit) ** 2, weights),
            "absolute": weigh(jnp.abs(error * unit), weights),
            "per_value": Sum(per_value, jnp.sum(weights)),
        }

    return Task(
        name="regress",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "rmse": mean("squared", "lower", math.sqrt),
            "mae": mean("absolute", "lower"),
            "r2": Metric(("per_value",), determination, "higher"),
        },
        primary="rmse",
        predict=lambda outputs: {"value": outputs.astype(jnp.float32) * each(scale, outputs) + each(center, outputs)},
    )


def each(value: float | Sequence[float], outputs: Array) -> Array:
    """Return f32[1] or f32[1, D]: one number, or one for each value of `outputs: [B]` or `[B, D]`."""
    return jnp.broadcast_to(jnp.asarray(value, jnp.float32), outputs.shape[1:])[None]


def determination(per_value: Sum) -> float:
    """Return R² averaged over the values, from f64[4, D]: totals of error², target, target² and weight."""
    error, total, square, weight = per_value.total[:, per_value.total[3] > 0]
    variation = square - total**2 / weight
    varies = variation > 0
    return float(np.mean(1 - error[varies] / variation[varies])) if varies.any() else math.nan
