"""Convolution whose backward pass stays in the layout that XLA:CPU runs fast.

XLA:CPU calls Eigen for a convolution in NHWC layout and, inside a loop, only for that layout. JAX's gradients are
convolutions in other layouts, 20 times slower there. Here operands are transposed first, so that the forward pass and
both gradients are NHWC convolutions, and videos, up to ten times slower there too, are convolved as pictures. The
native form is C++ (`fdl/models/kernels/native/convolution.h`).

Shape legend: B batch, C channels in, F channels out, ... space (one to three dimensions).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.kernel_choice import custom, forced_native
from fdl.models.kernels.materialize import materialize
from fdl.models.kernels.native import call
from fdl.models.kernels.native import convolution as native
from fdl.models.kernels.native.convolution import Pads, Setting

Residuals = tuple[jax.Array, jax.Array]
# A gradient in JAX is the faster one by an input of few channels, which fill few lanes of a vector, and by a kernel of
# many elements, whose sums do not stay in a cache (docs/performance.md).
FEW, LARGE = 8, 2**19


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
    if native.wanted(x, kernel, pads, _shape(x, kernel, strides, pads)):
        return _native(x, kernel, strides, pads)
    return _in_jax(x, kernel, strides, pads)


def _in_jax(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    return (_as_pictures if len(strides) == 3 else _custom)(x, kernel, strides, pads)


def _as_pictures(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    """Return array[B, T, ..., F] of videos: every frame with all that the kernel reads beside it as its channels."""
    reach, channels, outputs = kernel.shape[0], *kernel.shape[-2:]
    padded = jnp.pad(x, ((0, 0), pads[0], (0, 0), (0, 0), (0, 0)))
    count = (padded.shape[1] - reach) // strides[0] + 1
    if count < 1:
        return _reference(x, kernel, strides, pads)
    frames = [
        lax.slice_in_dim(padded, at, at + (count - 1) * strides[0] + 1, strides[0], axis=1) for at in range(reach)
    ]
    pictures = jnp.concatenate(frames, axis=-1).reshape(len(x) * count, *x.shape[2:4], reach * channels)
    beside = jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], reach * channels, outputs)
    y = _custom(pictures, beside, strides[1:], pads[1:])
    return y.reshape(len(x), count, *y.shape[1:])


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


def _forward(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> tuple[jax.Array, Residuals]:
    x = materialize(x)
    return _reference(x, kernel, strides, pads), (x, kernel)


def _backward(strides: tuple[int, ...], pads: Pads, residuals: Residuals, g: jax.Array) -> Residuals:
    x, kernel = residuals
    return (
        _input_gradient(g, kernel, (strides, pads, x.shape)),
        _kernel_gradient(x, g, (strides, pads, kernel.shape)),
    )


_custom.defvjp(_forward, _backward)


def _input_gradient(g: jax.Array, kernel: jax.Array, setting: Setting) -> jax.Array:
    """Convolve the output gradient, dilated by the strides, with the flipped, transposed kernel."""
    strides, pads, shape = setting
    spaces = zip(shape[1:-1], kernel.shape[:-2], _reach(g, strides), pads, strict=True)
    flipped = lax.rev(kernel, tuple(range(len(strides)))).swapaxes(-1, -2)
    around = tuple((side - 1 - low, size + low - far) for size, side, far, (low, _) in spaces)
    return _reference(g, flipped, (1,) * len(strides), around, x_dilation=strides)


def _kernel_gradient(x: jax.Array, g: jax.Array, setting: Setting) -> jax.Array:
    """Convolve the input with the output gradient, with batch and channels swapped."""
    strides, pads, shape = setting
    count, sizes = len(strides), x.shape[1:-1]
    spaces = zip(sizes, shape[:count], _reach(g, strides), pads, strict=True)
    # The padding missing at the end (negative: unread input).
    missing = [side - 1 + far - size - low for size, side, far, (low, _) in spaces]
    read = tuple(slice(0, size + min(0, more)) for size, more in zip(sizes, missing, strict=True))
    transposed = x[(slice(None), *read)].swapaxes(0, -1)  # [C, ..., B]
    window = g.transpose(*range(1, count + 1), 0, count + 1)  # [..., B, F]
    ends = tuple((low, max(0, more)) for (low, _), more in zip(pads, missing, strict=True))
    dkernel = _reference(transposed, window, (1,) * count, ends, kernel_dilation=strides)  # [C, sides, F]
    return dkernel.transpose(*range(1, count + 1), 0, count + 1)


def _reach(g: jax.Array, strides: tuple[int, ...]) -> list[int]:
    """Return the extent of the strided output in the input."""
    return [(size - 1) * stride + 1 for size, stride in zip(g.shape[1:-1], strides, strict=True)]


_native_forward = native.make_op("fdl_convolve", lambda x, kernel, setting: _in_jax(x, kernel, *setting[:2]))
_native_input_gradient = native.make_op("fdl_convolve_input_gradient", _input_gradient)
_native_kernel_gradient = native.make_op("fdl_convolve_kernel_gradient", _kernel_gradient)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _native(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    # Without a gradient, as in evaluation and prediction, it is native only on request.
    if not forced_native("convolution"):
        return _in_jax(x, kernel, strides, pads)
    return _native_with_residuals(x, kernel, strides, pads)[0]


def _native_with_residuals(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads
) -> tuple[jax.Array, Residuals]:
    if not call.usable("convolution"):
        return _in_jax(x, kernel, strides, pads), (x, kernel)
    if kernel.size > LARGE:
        x = materialize(x)
    return _native_forward(x, kernel, (strides, pads, _shape(x, kernel, strides, pads))), (x, kernel)


def _shape(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Pads) -> tuple[int, ...]:
    """Return the shape of the result."""
    spaces = zip(x.shape[1:-1], kernel.shape[:-2], strides, pads, strict=True)
    out = ((size + low + high - side) // stride + 1 for size, side, stride, (low, high) in spaces)
    return (x.shape[0], *(max(0, n) for n in out), kernel.shape[-1])


def _native_backward(strides: tuple[int, ...], pads: Pads, residuals: Residuals, g: jax.Array) -> Residuals:
    x, kernel = residuals
    if not call.usable("convolution"):  # a compiler that failed
        # The forward pass of this is unused, so it is not computed again.
        dx_and_dkernel: Residuals = jax.vjp(lambda x, kernel: _in_jax(x, kernel, strides, pads), x, kernel)[1](g)
        return dx_and_dkernel
    dx = _input_gradient if x.shape[-1] < FEW else _native_input_gradient
    dkernel = _kernel_gradient if kernel.size > LARGE else _native_kernel_gradient
    return dx(g, kernel, (strides, pads, x.shape)), dkernel(x, g, (strides, pads, kernel.shape))


_native.defvjp(_native_with_residuals, _native_backward)
