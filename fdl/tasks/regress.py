"""Regression.

Shape legend: B batch, D values per example.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task, Unreduced
from fdl.tasks.sums import mean, ratio, spread, weigh


def regress(*, center: float | Sequence[float] = 0.0, scale: float | Sequence[float] = 1.0) -> Task:
    """Make the task of regression to one or more values, with the mean squared error as its loss.

    outputs: f32[B] or f32[B, D], standardised: a prediction is `outputs * scale + center`.
    targets: [B] or [B, D], in their original units; weights: f32[B] or f32[B, D].
    center, scale: mean and standard deviation of the training targets, one or one per value. The loss is of
    standardised values, RMSE and MAE are in the targets' units; R² is the unweighted mean over the D values. RMSE is
    exact over the whole range of float32, R² also where the targets vary little about a large mean.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        size = len(outputs)
        if outputs.size != batch.targets.size:
            raise UserError(f"regress() wants one output per target, has {outputs.shape} for {batch.targets.shape}")
        outputs = outputs.reshape(size, -1).astype(jnp.float32)
        unit, middle = each(scale, outputs), each(center, outputs)
        targets = (batch.targets.reshape(size, -1).astype(jnp.float32) - middle) / unit
        weights = spread(batch.weights, outputs.shape)
        error = jnp.where(weights == 0, 0.0, outputs - targets)
        targets = jnp.where(weights == 0, 0.0, targets)
        return {
            "loss": weigh(error**2, weights),
            **squares("squared", error * unit, weights),
            "absolute": weigh(jnp.abs(error * unit), weights),
            "moments": Unreduced(moments(targets, error, weights)[None], jnp.sum(weights)[None]),
        }

    def check(targets: Array) -> tuple[int, str] | None:
        standard = (np.asarray(targets, np.float64).reshape(len(targets), -1) - np.asarray(center)) / np.asarray(scale)
        size = np.abs(standard).max(1, initial=0)
        row = int(size.argmax())
        if not 0 < size[row] < _FAINT and not size[row] > _VAST:
            return None
        how = "vanishes" if size[row] < 1 else "overflows"
        return row, f"target {size[row]:.3g}, in units of regress(scale={scale}), {how} in float32 when squared"

    return Task(
        name="regress",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "rmse": Metric(("squared", "squared_large", "squared_small"), root_mean_square, "lower"),
            "mae": mean("absolute", "lower"),
            "r2": Metric(("moments",), determination, "higher"),
        },
        primary="rmse",
        predict=lambda outputs: {"value": outputs.astype(jnp.float32) * each(scale, outputs) + each(center, outputs)},
        encode=lambda values: (np.asarray(values, np.float64) - np.asarray(center)) / np.asarray(scale),
        check=check,
    )


def squares(name: str, values: Array, weights: Array) -> dict[str, Sum]:
    """Sum squares of f32[B, D] by weight, with large and small values in separate sums, rescaled by powers of two.

    The square of 1e20 overflows float32 and that of 1e-23 underflows; rescaled squares do neither.
    """
    size = jnp.abs(values)
    large, small = (size > 2.0**_FAR) & jnp.isfinite(size), size < 2.0**-_FAR
    parts = {"": (~large & ~small, 0), "_large": (large, -_SHIFT), "_small": (small, _SHIFT)}
    return {
        name + part: weigh(jnp.where(chosen, shifted(values, exponent), 0.0) ** 2, weights)
        for part, (chosen, exponent) in parts.items()
    }


def root_mean_square(middle: Sum, large: Sum, small: Sum) -> float:
    """Return the root mean square from the sums of `squares`."""
    return math.sqrt(ratio(middle.total + large.total * 4.0**_SHIFT + small.total / 4.0**_SHIFT, middle.weight))


def moments(targets: Array, error: Array, weights: Array) -> jax.Array:
    """Return f32[7, D] of a batch, from which `determination` computes R² without cancellation.

    The weight, the mean of the targets in units of 2^exponent, the sums of the deviations from it and of their squares,
    the exponent, and the sum of the squared errors with a separate exponent.
    """
    weight = jnp.sum(weights, 0)
    (targets, exponent), (error, error_exponent) = _scaled(targets), _scaled(error)
    middle = jnp.sum(weights * targets, 0) / jnp.where(weight == 0, 1.0, weight)
    deviations = targets - middle[None]
    first, second, squared = (jnp.sum(weights * x, 0) for x in (deviations, deviations**2, error**2))
    return jnp.stack([weight, middle, first, second, exponent, squared, error_exponent])


def _scaled(values: Array) -> tuple[jax.Array, jax.Array]:
    """Return f32[B, D] with each column scaled by a power of two to at most 1, and the exponents."""
    exponent = _exponent(jnp.max(jnp.abs(values), 0))
    return shifted(values, -exponent[None]), exponent.astype(jnp.float32)


def shifted(values: Array, exponent: Array | int) -> jax.Array:
    """Return f32 values times 2^exponent (ldexp), 0 where that underflows.

    The exponent is added to the bits of the number, because XLA may move a multiplication by a power of two out of a
    square or a sum, which then overflows.
    """
    value_exponent = _exponent(values)
    result = lax.bitcast_convert_type(lax.bitcast_convert_type(values, jnp.int32) + exponent * 2**23, jnp.float32)
    return jnp.where(jnp.isfinite(values), jnp.where(value_exponent + exponent > -126, result, 0.0), values)


def _exponent(values: Array) -> jax.Array:
    """Return i32, the exponent of f32 values as in frexp: |value| is from 2^(exponent - 1) to 2^exponent; -126 of 0."""
    return ((lax.bitcast_convert_type(values, jnp.int32) >> 23) & 255) - 126


def each(value: float | Sequence[float], outputs: Array) -> Array:
    """Broadcast one number, or one per value, to f32[1] or f32[1, D] for `outputs: [B]` or `[B, D]`."""
    return jnp.broadcast_to(jnp.asarray(value, jnp.float32), outputs.shape[1:])[None]


def determination(batches: Unreduced) -> float:
    """Return the mean R² of the values that vary, from the moments f64[n, 7, D] of each batch.

    Moments about each batch's mean are combined to those about the total mean. Paper: Chan, Golub and LeVeque, 1983.
    """
    weight, middle, first, second, exponent, squared, error_exponent = np.moveaxis(np.asarray(batches.total), 1, 0)
    present = np.where(weight == 0, 1.0, weight)
    unit, mean_of = 2.0**exponent, (middle + first / present) * 2.0**exponent
    whole = np.where(weight.sum(0) == 0, 1.0, weight.sum(0))
    about = mean_of - (weight * mean_of).sum(0) / whole
    variation = ((second - first**2 / present) * unit**2 + weight * about**2).sum(0)
    error = (squared * 4.0**error_exponent).sum(0)
    varies = variation > 0
    return float(np.mean(1 - error[varies] / variation[varies])) if varies.any() else math.nan


_FAR, _SHIFT = 40, 80  # squares of values outside 2^-40 to 2^40 are summed in units of 2^-160 and 2^160
_VAST, _FAINT = 1e18, 1e-18  # beyond them a square overflows or underflows float32
