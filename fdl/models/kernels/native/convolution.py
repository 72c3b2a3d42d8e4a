"""Convolution by the native library, with its two gradients: each of the three is one call.

Shape legend: B batch, C channels in, F features out, ... space (one to three dimensions).
"""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.models.kernels.native import call

Pads = tuple[tuple[int, int], ...]
Setting = tuple[tuple[int, ...], Pads, tuple[int, ...]]  # strides, padding, shape of the result
InJax = Callable[[jax.Array, jax.Array, Setting], jax.Array]
Op = Callable[[jax.Array, jax.Array, Setting], jax.Array]
LARGEST = 2**31 - 1  # elements of an array: offsets are 32-bit
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
    why = ""
    if any(side < 0 for pair in pads for side in pair):
        why = f"padding {pads} is negative"
    if kernel.ndim > 5 or max(x.size, kernel.size) > LARGEST:
        why = f"inputs {list(x.shape)} have more than three dimensions, or two thousand million elements"
    return call.wanted("convolution", _flops(shape, kernel.shape), (x, kernel), why)


def _flops(output: tuple[int, ...], kernel: tuple[int, ...]) -> float:
    return 2.0 * prod(output) * prod(kernel[:-1])


def flops(target: str, arrays: tuple[Any, ...], results: tuple[Any, ...]) -> float:
    """Return the FLOPs of a call of this name: 2 x outputs x inputs per output; 0 for a function of others."""
    if target not in OUTPUT_AND_KERNEL:
        return 0.0
    output, kernel = ((*arrays, *results)[i] for i in OUTPUT_AND_KERNEL[target])
    return _flops(output.shape, kernel.shape)


def make_op(target: str, in_jax: InJax) -> Op:
    """Return the function of two arrays and a setting that is the library's `target` and otherwise `in_jax`."""
    op = call.make_op(
        target,
        lambda setting, a, b: in_jax(a, b, setting),
        lambda setting, a, b: jax.ShapeDtypeStruct(setting[2], jnp.float32),
        lambda setting: {
            "strides": np.array(setting[0], np.int64),
            "low": np.array([low for low, _ in setting[1]], np.int64),
        },
    )
    return lambda a, b, setting: op(setting, a, b)
