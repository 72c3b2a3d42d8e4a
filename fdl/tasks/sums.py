"""Shared building blocks of tasks: weighted sums, and metrics from sums.

Shape legend: B batch, T time, K classes, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, PyTree, Sum, TokenLogits
from fdl.tasks.counts import counts
from fdl.tasks.token_cross_entropy import token_cross_entropy


def spread(weights: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast weights f32[B] or f32[B, T] over their missing trailing dimensions to `shape`."""
    weights = jnp.asarray(weights, jnp.float32)
    if weights.shape != shape[: weights.ndim]:
        raise UserError(f"weights {weights.shape} do not fit {shape}; give one weight per row or per element")
    return jnp.broadcast_to(weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim)), shape)


def weigh(values: Array, weights: Array) -> Sum:
    """Return the weighted sum of `values`; a value of weight 0 may be anything, even NaN.

    values: [B, ...]; weights: f32[B] or any leading part of the shape of `values`.
    """
    weights = spread(weights, values.shape)
    safe = jnp.where(weights == 0, 0.0, values.astype(jnp.float32))
    return Sum(jnp.sum(safe * weights), jnp.sum(weights))


def cross_entropy(logits: Array, probabilities: Array) -> jax.Array:
    """Return f32[...], the softmax cross-entropy in nats of `logits` and target probabilities, f32[..., K].

    A logit of -inf costs nothing where the target probability is 0 (no NaN from 0 · inf).
    """
    return -jnp.sum(jnp.where(probabilities == 0, 0.0, probabilities * jax.nn.log_softmax(logits)), -1)


def sigmoid_cross_entropy(logits: Array, probabilities: Array) -> jax.Array:
    """Return f32[...], the cross-entropy in nats of the sigmoid of `logits` and targets from 0 to 1, f32[...] both.

    An infinite logit that is correct costs nothing.
    """
    yes = jnp.where(probabilities == 0, 0.0, probabilities * jax.nn.softplus(-logits))
    return yes + jnp.where(probabilities == 1, 0.0, (1 - probabilities) * jax.nn.softplus(logits))


def token_sums(outputs: Array | TokenLogits, batch: Batch) -> dict[str, Sum]:
    """Return the sums of the token cross-entropy in nats and of the correct predictions.

    outputs: f32[B, T, V], logits, or their factors; targets: i32[B, T]; weights: f32[B] or f32[B, T].
    """
    targets = batch.targets.astype(jnp.int32)
    if isinstance(outputs, TokenLogits):
        weights = spread(batch.weights, targets.shape)
        loss, right = token_cross_entropy(outputs, targets, weights)
        return {"loss": Sum(loss, jnp.sum(weights)), "correct": weigh(right, weights)}
    if outputs.shape[:-1] != targets.shape:
        raise UserError(
            f"a token task wants logits for each of the targets {targets.shape}, the model gives {outputs.shape};"
            " set return_sequences=True"
        )
    logits = outputs.astype(jnp.float32)
    return {
        "loss": weigh(optax.softmax_cross_entropy_with_integer_labels(logits, targets), batch.weights),
        "correct": weigh(jnp.argmax(logits, -1) == targets, batch.weights),
    }


def best_token(outputs: Array) -> dict[str, Array]:
    """Return the most likely token of every position and its probability: i32[B, T], f32[B, T]."""
    logits = outputs.astype(jnp.float32)
    return {"token": jnp.argmax(logits, -1), "probability": jnp.max(jax.nn.softmax(logits), -1)}


def macro_f1(per_class: Sum) -> float:
    """Return the mean F1 of the classes that occur or are predicted, from counts [3, K]: hits, labels, predictions."""
    hits, occurring, predicted = counts(per_class)
    seen = occurring + predicted > 0
    return float(np.mean(2 * hits[seen] / (occurring + predicted)[seen])) if seen.any() else math.nan


def ratio(part: Array | float, whole: Array | float) -> float:
    """Return part / whole, nan where `whole` is 0."""
    return float(part / whole) if whole != 0 else math.nan


def mean(name: str, better: Literal["higher", "lower"], then: Callable[[float], float] = float) -> Metric:
    """Make the metric `then(total / weight)` of the sum called `name`."""
    return Metric((name,), lambda s: then(ratio(s.total, s.weight)), better)


def exponential(value: float) -> float:
    """Return e to the value, inf where that overflows."""
    return math.exp(value) if not value > 700 else math.inf


def outside(values: PyTree, least: float, most: float, rule: str) -> tuple[int, str] | None:
    """Return the first row of NumPy targets [n, ...] with a value that is not an integer from `least` to `most`.

    rule: the expected values, for the message.
    """
    values = np.asarray(values)
    if not values.size or (values.dtype.kind in "iub" and values.min() >= least and values.max() <= most):
        return None
    wrong = ~((values >= least) & (values <= most) & (values == np.floor(values)))
    if not wrong.any():
        return None
    row = int(np.argwhere(wrong)[0][0])
    return row, f"target {values[row][wrong[row]].flat[0]:g} is not {rule}"


def no_token(targets: PyTree) -> tuple[int, str] | None:
    """Return the first row of token targets [n, T] that has a number below 0: an indexing program counts from the end.

    A number beyond the vocabulary needs no rule: its loss is not finite, which stops the run.
    """
    return outside(targets, 0, math.inf, "a token, 0 or more; give what does not count weight 0 and any token")
