"""Convolution whose backward pass stays in the form that XLA:CPU is fast at.

XLA:CPU hands a convolution to Eigen where it is laid out as batch, space, channels and is inside a loop only in that
form. JAX's own gradients are convolutions in other layouts, 20 times slower there. Here operands are transposed first,
so that all three are plain.

Shape legend: B batch, C channels in, F channels out, ... space (one to three dimensions).
"""

from functools import partial
from typing import Literal

import jax
from jax import lax

from fdl.core.kernel_choice import custom
from fdl.models.kernels.materialize import materialize

Pads = tuple[tuple[int, int], ...]


def convolve(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], padding: Literal["SAME", "VALID"] | int
) -> jax.Array:
    """Return array[B, ..., F] of `x: array[B, ..., C]` and `kernel: array[..., C, F]`."""
    if isinstance(padding, str):
        pads = tuple(lax.padtype_to_pads(x.shape[1:-1], kernel.shape[:-2], strides, padding))
    else:
        pads = ((padding, padding),) * len(strides)
    if not custom("convolution"):
        return _plain(x, kernel, strides, pads)
    if all(side == 1 for side in kernel.shape[:-2]) and not any(map(any, pads)):
        every = tuple(slice(None, None, stride) for stride in strides)
        return x[(slice(None), *every)] @ kernel.reshape(kernel.shape[-2:])
    return _own(x, kernel, strides, pads)


def _plain(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, ...],
    pads: Pads,
    x_dilation: tuple[int, ...] | None = None,
    kernel_dilation: tuple[int, ...] | None = None,
) -> jax.Array:
    space = "DHW"[-len(strides) :]
    layout = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, kernel, strides, pads, x_dilation, kernel_dilation, layout)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _own(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    return _plain(x, kernel, strides, pads)


def _forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    x = materialize(x)
    return _plain(x, kernel, strides, pads), (x, kernel)


def _backward(
    strides: tuple[int, ...], pads: Pads, kept: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    count = len(strides)
    ones, space = (1,) * count, tuple(range(count))
    # How far the strides reach, and so what is missing at the end (or, if negative, was never looked at).
    reach = [(size - 1) * stride + 1 for size, stride in zip(g.shape[1:-1], strides, strict=True)]
    sizes, sides = x.shape[1:-1], kernel.shape[:count]

    spaces = [(*at, low) for *at, (low, _) in zip(sides, sizes, reach, pads, strict=True)]

    flipped = lax.rev(kernel, space).swapaxes(-1, -2)
    around = tuple((side - 1 - low, size + low - far) for side, size, far, low in spaces)
    dx = _plain(g, flipped, ones, around, x_dilation=strides)

    missing = [side - 1 + far - size - low for side, size, far, low in spaces]
    seen = tuple(slice(0, size + min(0, more)) for size, more in zip(sizes, missing, strict=True))
    turned = x[(slice(None), *seen)].swapaxes(0, -1)  # [C, ..., B]
    window = g.transpose(*range(1, count + 1), 0, count + 1)  # [..., B, F]
    ends = tuple((low, max(0, more)) for (low, _), more in zip(pads, missing, strict=True))
    dkernel = _plain(turned, window, ones, ends, kernel_dilation=strides)  # [C, sides, F]
    return dx, dkernel.transpose(*range(1, count + 1), 0, count + 1)


_own.defvjp(_forward, _backward)
