"""Which native kernels are called where a program is traced, and how: by XLA's FFI.

The same function in JAX stands beside each: it is what is traced under `vmap`, and second derivatives are its own.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from fdl.core import data_axis, kernel_choice
from fdl.models.kernels.native.library import compiler, library, warn_once

PAYS = 1e8  # FLOPs of a call from which it is native by default: a thousand steps pay for compiling
UNMEASURED = "native kernels were not measured on this processor (--kernels=native uses them)"


def wanted(kernel: str, flops: float, arrays: tuple[jax.Array, ...], why_not: str = "") -> bool:
    """Return whether this kernel is to be native where it is traced, and note why if not; compiles nothing.

    why_not: the reason for which no library could compute it on these arrays, beside those of all kernels.
    """
    if kernel_choice.kernel_forms()[kernel] != "native":
        if kernel_choice.target().platform == "cpu" and not kernel_choice.faster_native(kernel):
            kernel_choice.note(kernel, f"custom: {UNMEASURED}")
        return False
    other = [array.dtype.name for array in arrays if array.dtype != jnp.float32]
    why = f"{other[0]} is not float32" if other else why_not
    if not why and data_axis.grid() is not None:
        why = "the compiler partitions the program over a mesh"
    if not why and not kernel_choice.forced_native(kernel) and flops < PAYS:
        why = f"less than {PAYS / 1e6:g} MFLOP do not pay for a compiler (--kernels={kernel}=native)"
    if why:
        kernel_choice.note(kernel, f"custom: {why}")
        return False
    return bool(compiler()) or usable(kernel)


def usable(kernel: str) -> bool:
    """Return whether the library is here, compiled now if it was not before, and note by what or why not."""
    found = library()
    if not found.available and kernel_choice.forced_native(kernel):
        warn_once(found.line)
    kernel_choice.note(kernel, f"{'native' if found.available else 'custom'}: {found.line}")
    return found.available


def make_op(
    target: str,
    in_jax: Callable[..., Any],
    results: Callable[..., Any],
    attributes: Callable[[Any], Mapping[str, Any]],
) -> Callable[..., Any]:
    """Return the function `(setting, *arrays)` that is the library's `target` and otherwise `in_jax`.

    results: `(setting, *arrays) -> shapes`, a `jax.ShapeDtypeStruct` or a tuple of them. attributes: of a setting.
    """

    def op(setting: Any, *arrays: jax.Array) -> Any:
        @custom_vmap
        def call(*arrays: jax.Array) -> Any:
            function: Callable[..., Any] = jax.ffi.ffi_call(target, results(setting, *arrays))
            return function(*arrays, **attributes(setting))

        @call.def_vmap
        def batched(_: int, is_batched: tuple[bool, ...], *arrays: jax.Array) -> Any:
            axes = tuple(0 if batched else None for batched in is_batched)
            found = jax.vmap(partial(in_jax, setting), in_axes=axes)(*arrays)
            return found, jax.tree.map(lambda _: True, found)

        result: Any = call(*arrays)
        return result

    def forward(setting: Any, *arrays: jax.Array) -> Any:
        return op(setting, *arrays), arrays

    def backward(setting: Any, arrays: tuple[jax.Array, ...], cotangents: Any) -> Any:
        return jax.vjp(partial(in_jax, setting), *arrays)[1](cotangents)

    differentiable = jax.custom_vjp(op, nondiff_argnums=(0,))
    differentiable.defvjp(forward, backward)
    return differentiable
