"""Layers shared by several models: dropout, normalisation, convolution and pooling.

Shape legend: B batch, C channels, ... any further dimensions (space or time).
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import data_axis
from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.kernels import pool
from fdl.models.kernels.convolution import convolve

Activation = Callable[[Any], Any]
Dtype = Any
Normalisation = Literal["none", "batch", "layer", "group"]


class Dropout(nn.Module):
    """Zero each element with probability `rate` in training, with a separate mask per example.

    Keys come from `data_axis.row_keys`, so an example's mask does not depend on the device that holds it.
    Paper: Srivastava et al., 2014.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Return array[B, ...] of the shape of `x: array[B, ...]`, kept elements divided by `1 - rate`."""
        if isinstance(self.rate, int | float) and not 0 <= self.rate < 1:
            raise UserError(f"dropout {self.rate} is not a rate; give 0 or more and less than 1")
        if not train or self.rate == 0.0:
            return x
        keys = data_axis.row_keys(self.make_rng("dropout"), x.shape[0])
        keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(keep, x / (1 - self.rate), 0).astype(x.dtype)


class BatchNorm(nn.Module):
    """Normalise each channel by the mean and variance of the whole batch, excluding padding.

    The statistics are float32 and summed over the shards of the batch (synchronised batch normalisation); evaluation
    uses their running means, in the collection "batch_stats". Paper: Ioffe and Szegedy, 2015.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Dtype | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, *, weights: Array | None = None, train: bool) -> jax.Array:
        """Return array[B, ..., C] of the shape of `x: array[B, ..., C]`; `weights: f32[B]` (or f32[B, T]) masks."""
        channels = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        scale = self.param("scale", self.scale_init, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))

        mean, var = running_mean.value, running_var.value
        if train:
            if math.prod(x.shape[:-1]) == 1 and not self.is_initializing() and not data_axis.mapped():
                raise UserError(
                    f"batch norm of {list(x.shape)} has one value per channel, which it makes 0 whatever it is; give "
                    "more examples per (micro-)batch, or another norm"
                )
            mean, var, anything = _moments(x, weights, running=(mean, var))
            if not self.is_initializing():
                rate = jnp.where(anything, 1 - self.momentum, 0)
                running_mean.value += rate * (mean - running_mean.value)
                running_var.value += rate * (var - running_var.value)
        slope = scale * lax.rsqrt(var + self.epsilon)
        mean, slope, bias = (v.reshape((1,) * (x.ndim - 1) + (channels,)) for v in (mean, slope, bias))
        y = (x.astype(jnp.float32) - mean) * slope + bias
        return y.astype(self.dtype or x.dtype)


def _moments(
    x: jax.Array, weights: Array | None, running: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the mean and variance f32[C] of `x: array[B, ..., C]` over all shards, and bool[]: whether any row weighs.

    Taken around a point near the mean, so that one pass over x loses no digits to cancellation: the mean of the middle
    place of each example, which costs a row of C numbers each.
    running: f32[C] twice, the moments of a batch that weighs nothing.
    """
    dimensions = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    if weights is None:
        weights = jnp.ones(x.shape[0])
    weights = weights.astype(jnp.float32).reshape(weights.shape + (1,) * (x.ndim - weights.ndim))
    x = jnp.where(weights == 0, 0.0, x)
    middle, weight = (y[(slice(None), *(size // 2 for size in y.shape[1:-1]))] for y in (x, weights))
    count, total = data_axis.add((weight.sum(), (weight * middle).sum(0)))
    around = lax.stop_gradient(jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), running[0]))
    deviation = x - around.reshape((1,) * len(dimensions) + around.shape)
    count = weights.sum() * (math.prod(x.shape[:-1]) / weights.size)
    count, first, second = data_axis.add(
        (count, (weights * deviation).sum(dimensions), (weights * deviation * deviation).sum(dimensions)),
    )
    anything = count > 0
    count = jnp.where(anything, count, 1.0)
    mean = first / count
    var = jnp.maximum(second / count - mean * mean, 0)
    return jnp.where(anything, around + mean, running[0]), jnp.where(anything, var, running[1]), anything


def stack(depth: int) -> range:
    """Return `range(depth)`, refusing a stack without layers."""
    if depth < 1:
        raise UserError(f"depth {depth} is not a number of layers; give 1 or more")
    return range(depth)


def normalise(
    x: jax.Array, kind: Normalisation, *, weights: Array | None = None, train: bool, dtype: Dtype | None = None
) -> jax.Array:
    """Normalise `x: array[B, ..., C]` by a layer of this kind, created in the calling compact module."""
    if kind == "batch":
        return BatchNorm(dtype=dtype)(x, weights=weights, train=train)
    if kind == "layer":
        result: jax.Array = nn.LayerNorm(dtype=dtype)(x)
        return result
    if kind == "group":
        result = nn.GroupNorm(num_groups=math.gcd(32, x.shape[-1]), dtype=dtype)(x)
        return result
    if kind != "none":
        raise UserError(f"norm {kind!r} is unknown; choose none, batch, layer or group")
    return x


class Conv(nn.Module):
    """Convolve over all dimensions between the first and the last: time, images or video.

    kernel:  kernel size, one for all dimensions or one per dimension.
    stride:  likewise.
    padding: "SAME", "VALID", or the number of zeros on every side.
    """

    channels: int
    kernel: int | tuple[int, ...] = 3
    stride: int | tuple[int, ...] = 1
    padding: Literal["SAME", "VALID"] | int = "SAME"
    bias: bool = True
    dtype: Dtype | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()  # a ReLU nearly always follows

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return array[B, ..., channels] from `x: array[B, ..., C]`."""
        count = x.ndim - 2
        sides = _per_dimension(self.kernel, count)
        kernel = self.param("kernel", self.kernel_init, (*sides, x.shape[-1], self.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.channels,)) if self.bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = convolve(x, kernel, _per_dimension(self.stride, count), self.padding)
        return y if bias is None else y + bias.reshape((1,) * (count + 1) + bias.shape)


def length_mask(lengths: Array, time: int) -> jax.Array:
    """Return the mask bool[B, T] of the steps within each row's length, `lengths: i32[B]`."""
    return jnp.expand_dims(jnp.arange(time), 0) < jnp.expand_dims(lengths, 1)


def max_pool(x: jax.Array, window: int = 2, stride: int | None = None, padding: int = 0) -> jax.Array:
    """Max-pool `x: array[B, ..., C]`; the stride defaults to the window.

    A dimension shorter than the window is a single window.
    """
    count = x.ndim - 2
    sides = tuple(min(window, size + 2 * padding) for size in x.shape[1:-1])
    return pool.max_pool(x, sides, (stride,) * count if stride else sides, padding)


def _per_dimension(size: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    return (size,) * count if isinstance(size, int) else size
