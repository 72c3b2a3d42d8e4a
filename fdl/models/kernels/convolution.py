"""Convolution whose backward pass stays in the layout that XLA:CPU runs fast.

XLA:CPU calls Eigen for a convolution in NHWC layout and, inside a loop, only for that layout. JAX's gradients are
convolutions in other layouts, 20 times slower there. Here operands are transposed first, so that the forward pass and
both gradients are NHWC convolutions.

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
        return _reference(x, kernel, strides, pads)
    if all(side == 1 for side in kernel.shape[:-2]) and not any(map(any, pads)):  # 1x1: a matrix product
        every = tuple(slice(None, None, stride) for stride in strides)
        return x[(slice(None), *every)] @ kernel.reshape(kernel.shape[-2:])
    return _custom(x, kernel, strides, pads)


def _reference(
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
def _custom(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    return _reference(x, kernel, strides, pads)


def _forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    x = materialize(x)
    return _reference(x, kernel, strides, pads), (x, kernel)


def _backward(
    strides: tuple[int, ...], pads: Pads, residuals: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    count = len(strides)
    ones, space = (1,) * count, tuple(range(count))
    # Extent of the strided output in the input, and so the padding missing at the end (negative: unread input).
    reach = [(size - 1) * stride + 1 for size, stride in zip(g.shape[1:-1], strides, strict=True)]
    sizes, sides = x.shape[1:-1], kernel.shape[:count]

    spaces = [(*at, low) for *at, (low, _) in zip(sides, sizes, reach, pads, strict=True)]

    # Input gradient: convolve the output gradient, dilated by the strides, with the flipped, transposed kernel.
    flipped = lax.rev(kernel, space).swapaxes(-1, -2)
    around = tuple((side - 1 - low, size + low - far) for side, size, far, low in spaces)
    dx = _reference(g, flipped, ones, around, x_dilation=strides)

    # Kernel gradient: convolve the input with the output gradient, with batch and channels swapped.
    missing = [side - 1 + far - size - low for side, size, far, low in spaces]
    read = tuple(slice(0, size + min(0, more)) for size, more in zip(sizes, missing, strict=True))
    transposed = x[(slice(None), *read)].swapaxes(0, -1)  # [C, ..., B]
    window = g.transpose(*range(1, count + 1), 0, count + 1)  # [..., B, F]
    ends = tuple((low, max(0, more)) for (low, _), more in zip(pads, missing, strict=True))
    dkernel = _reference(transposed, window, ones, ends, kernel_dilation=strides)  # [C, sides, F]
    return dx, dkernel.transpose(*range(1, count + 1), 0, count + 1)


_custom.defvjp(_forward, _backward)
