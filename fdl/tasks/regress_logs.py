"""Regression to positive numbers by their logarithms.

Shape legend: B batch, D values per example.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Sums, Task, Unreduced
from fdl.tasks.regress import each, moments, regress, squares
from fdl.tasks.sums import spread, weigh

_MOST = 4.0  # deviations above the mean beyond which nothing is predicted: an exponential soon leaves what was seen
_FAR = 8.0  # deviations below the mean from which on targets count as equally small, 0 and negative ones too


def regress_logs(*, center: float | Sequence[float], scale: float | Sequence[float]) -> Task:
    """Make the task of regression to positive values, learned as logarithms, with their mean squared error as its loss.

    outputs: f32[B] or f32[B, D], standardised logarithms: a prediction is `exp(min(outputs, 4) * scale + center)`.
    targets, weights: as in `regress`, in their original units, in which RMSE, MAE and R² are. A target that is not
    positive is one for the metrics; the loss takes it for the smallest value that it distinguishes.
    center, scale: mean and standard deviation of the logarithms of the training targets, one or one per value.
    """
    least = np.exp(np.asarray(center) - _FAR * np.asarray(scale))

    def sums(outputs: Array, batch: Batch) -> Sums:
        size = len(outputs)
        if outputs.size != batch.targets.size:
            raise UserError(
                f"regress_logs() wants one output per target, has {outputs.shape} for {batch.targets.shape}"
            )
        outputs = outputs.reshape(size, -1).astype(jnp.float32)
        targets = batch.targets.reshape(size, -1).astype(jnp.float32)
        weights = spread(batch.weights, outputs.shape)
        wanted = (jnp.log(jnp.maximum(targets, jnp.asarray(least, jnp.float32))) - each(center, outputs)) / each(
            scale, outputs
        )
        error = jnp.where(weights == 0, 0.0, outputs - wanted)
        missed = jnp.where(weights == 0, 0.0, values(outputs) - targets)
        targets = jnp.where(weights == 0, 0.0, targets)
        return {
            "loss": weigh(error**2, weights),
            **squares("squared", missed, weights),
            "absolute": weigh(jnp.abs(missed), weights),
            "moments": Unreduced(moments(targets, missed, weights)[None], jnp.sum(weights)[None]),
        }

    def values(outputs: Array) -> jax.Array:
        logs = jnp.minimum(outputs.astype(jnp.float32), _MOST) * each(scale, outputs) + each(center, outputs)
        return jnp.exp(logs)

    def encode(numbers: np.ndarray) -> np.ndarray:
        logs: np.ndarray = np.log(np.maximum(np.asarray(numbers, np.float64), least))
        result: np.ndarray = (logs - np.asarray(center)) / np.asarray(scale)
        return result

    return replace(regress(), sums=sums, predict=lambda outputs: {"value": values(outputs)}, encode=encode, check=None)
