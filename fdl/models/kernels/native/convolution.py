"""Convolution by the native library, with its two gradients.

Each of the three is one FFI call, with the same function in JAX beside it: under `vmap`, as in a population, the
latter is traced, and second derivatives are its own.

Shape legend: B batch, C channels in, F features out, ... space (one to three dimensions).
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from fdl.core import data_axis, kernel_choice
from fdl.models.kernels.native.library import compiler, library, warn_once

Pads = tuple[tuple[int, int], ...]
Setting = tuple[tuple[int, ...], Pads, tuple[int, ...]]  # strides, padding, shape of the result
InJax = Callable[[jax.Array, jax.Array, Setting], jax.Array]
Op = Callable[[jax.Array, jax.Array, Setting], jax.Array]
UNMEASURED = "native kernels were not measured on this processor (--kernels=native uses them)"
LARGEST = 2**31 - 1  # elements of an array: offsets are 32-bit
PAYS = 1e8  # FLOPs of a convolution from which it is native by default: a thousand steps pay for compiling
# Of each function: which of its two arguments and its result (2) is the output, or its gradient, and which the kernel.
OUTPUT_AND_KERNEL = {
    "fdl_convolve": (2, 1),
    "fdl_convolve_input_gradient": (0, 1),
    "fdl_convolve_kernel_gradient": (1, 2),
}


def wanted(x: jax.Array, kernel: jax.Array, pads: Pads, shape: tuple[int, ...]) -> bool:
    """Return whether this convolution is to be native where it is traced, and note why if not; compiles nothing.

    shape: of its result.
    """
    if 0 in (*shape, x.size, kernel.size):
        return False
    if kernel_choice.kernel_forms()["convolution"] != "native":
        if kernel_choice.target().platform == "cpu" and not kernel_choice.faster_native():
            kernel_choice.note("convolution", f"custom: {UNMEASURED}")
        return False
    why = _reason(x, kernel, pads)
    if not why and not _forced() and _flops(shape, kernel.shape) < PAYS:
        why = f"less than {PAYS / 1e6:g} MFLOP do not pay for a compiler (--kernels=convolution=native)"
    if not why and not compiler():
        return usable()
    if why:
        kernel_choice.note("convolution", f"custom: {why}")
    return not why


def usable() -> bool:
    """Return whether the library is here, compiled now if it was not before, and note by what or why not."""
    found = library()
    if not found.available and _forced():
        warn_once(found.line)
    kernel_choice.note("convolution", f"{'native' if found.available else 'custom'}: {found.line}")
    return found.available


def _forced() -> bool:
    return kernel_choice.forced("convolution", "native")


def _reason(x: jax.Array, kernel: jax.Array, pads: Pads) -> str:
    """Return why no library could compute a convolution where it is traced; empty if one can."""
    if x.dtype != jnp.float32 or kernel.dtype != jnp.float32:
        return f"{x.dtype.name} is not float32"
    if data_axis.grid() is not None:
        return "the compiler partitions the program over a mesh"
    if any(side < 0 for pair in pads for side in pair):
        return f"padding {pads} is negative"
    if kernel.ndim > 5 or max(x.size, kernel.size) > LARGEST:
        return f"inputs {list(x.shape)} have more than three dimensions, or two thousand million elements"
    return ""


def _flops(output: tuple[int, ...], kernel: tuple[int, ...]) -> float:
    return 2.0 * prod(output) * prod(kernel[:-1])


def flops(target: str, arguments: tuple[Any, Any], result: Any) -> float:
    """Return the FLOPs of a call of this name: 2 x outputs x inputs per output; 0 for a function of others."""
    if target not in OUTPUT_AND_KERNEL:
        return 0.0
    output, kernel = ((*arguments, result)[i] for i in OUTPUT_AND_KERNEL[target])
    return _flops(output.shape, kernel.shape)


def make_op(target: str, in_jax: InJax) -> Op:
    """Return the function of two arrays and a setting that is the library's `target` and otherwise `in_jax`."""

    def op(a: jax.Array, b: jax.Array, setting: Setting) -> jax.Array:
        strides, pads, shape = setting

        @custom_vmap
        def call(a: jax.Array, b: jax.Array) -> jax.Array:
            result: jax.Array = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(shape, jnp.float32))(
                a, b, strides=np.array(strides, np.int64), low=np.array([low for low, _ in pads], np.int64)
            )
            return result

        @call.def_vmap
        def batched(_: int, is_batched: tuple[bool, bool], a: jax.Array, b: jax.Array) -> tuple[jax.Array, bool]:
            axes = tuple(0 if batched else None for batched in is_batched)
            return jax.vmap(partial(_plain, in_jax, setting), in_axes=axes)(a, b), True

        result: jax.Array = call(a, b)
        return result

    def forward(a: jax.Array, b: jax.Array, setting: Setting) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return op(a, b, setting), (a, b)

    def backward(setting: Setting, residuals: tuple[jax.Array, jax.Array], g: jax.Array) -> Any:
        return jax.vjp(partial(_plain, in_jax, setting), *residuals)[1](g)

    differentiable = jax.custom_vjp(op, nondiff_argnums=(2,))
    differentiable.defvjp(forward, backward)
    return differentiable


def _plain(in_jax: InJax, setting: Setting, a: jax.Array, b: jax.Array) -> jax.Array:
    return in_jax(a, b, setting)
