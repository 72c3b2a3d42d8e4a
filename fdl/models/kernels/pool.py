"""Max-pooling of non-overlapping windows that stores the index of each maximum.

JAX's gradient searches each window again (`select_and_scatter`), which costs XLA:CPU more than all of LeNet's
convolutions. Here the forward pass stores one byte per window for the backward pass.

Shape legend: B batch, C channels, ... space.
"""

from functools import partial
from math import prod

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fdl.core.kernel_choice import custom

Sides = tuple[int, ...]


def max_pool(x: jax.Array, sides: Sides, strides: Sides, padding: int = 0) -> jax.Array:
    """Return the maximum of every window of `x: array[B, ..., C]`; among ties the first gets the gradient."""
    if custom("max_pool") and sides == strides and not padding and prod(sides) <= 16:
        return _custom(x, sides)
    result: jax.Array = nn.max_pool(x, window_shape=sides, strides=strides, padding=[(padding, padding)] * len(sides))
    return result


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _custom(x: jax.Array, sides: Sides) -> jax.Array:
    return _forward(x, sides)[0]


def _forward(x: jax.Array, sides: Sides) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    count = len(sides)
    whole = tuple(slice(0, size // side * side) for size, side in zip(x.shape[1:-1], sides, strict=True))
    split = [n for size, side in zip(x.shape[1:-1], sides, strict=True) for n in (size // side, side)]
    windows = x[(slice(None), *whole)].reshape(x.shape[0], *split, x.shape[-1])
    first, *others = (
        windows[(slice(None), *(i for n in range(count) for i in (slice(None), place[n])))]
        for place in np.ndindex(*sides)
    )
    best, argmax = first, jnp.zeros(first.shape, jnp.uint8)
    for number, here in enumerate(others, 1):
        argmax = jnp.where(here > best, jnp.uint8(number), argmax)
        best = jnp.maximum(best, here)
    return best, (argmax, jnp.zeros((0, *x.shape[1:-1], 0), x.dtype))  # the second keeps the shape and dtype alone


def _backward(sides: Sides, residuals: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array]:
    argmax, like = residuals
    count = len(sides)
    within = tuple(range(2, 2 * count + 1, 2))  # the dimensions of [B, n, side, n, side, ..., C] that are sides
    numbers = np.arange(prod(sides), dtype=np.uint8).reshape(sides)
    numbers = np.expand_dims(numbers, [i for i in range(2 * count + 2) if i not in within])
    is_max = jnp.expand_dims(argmax, within) == numbers
    dx = jnp.where(is_max, jnp.expand_dims(g, within), jnp.zeros((), g.dtype))
    whole = [size // side * side for size, side in zip(like.shape[1:-1], sides, strict=True)]
    dx = dx.reshape(g.shape[0], *whole, g.shape[-1])
    rest = [(0, size - used, 0) for size, used in zip(like.shape[1:-1], whole, strict=True)]
    return (lax.pad(dx, jnp.zeros((), g.dtype), [(0, 0, 0), *rest, (0, 0, 0)]),)


_custom.defvjp(_forward, _backward)
