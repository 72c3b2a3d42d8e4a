"""The LSTM's two passes over time by the native library: each is one call.

Shape legend: B batch, T time, D width.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.models.kernels.native import call

LANES = 16  # the width is a multiple of the widest vector's


def usable(input_projection: jax.Array, kernel: jax.Array, start: tuple[jax.Array, ...], mask: Any) -> bool:
    """Return whether the LSTM is native where it is traced, compiled now if it was not before, and note why if not."""
    why = "" if mask is None else "sequences have lengths"
    if not input_projection.size:
        why = "there is nothing to compute"
    if len(kernel) % LANES:
        why = f"width {len(kernel)} is no multiple of {LANES}"
    flops, arrays = 2.0 * input_projection.size * len(kernel), (input_projection, kernel, *start)
    return call.wanted("lstm", flops, arrays, why) and call.usable("lstm")


def flops(target: str, arrays: tuple[Any, ...], results: tuple[Any, ...]) -> float:
    """Return the FLOPs of a call of this name: each product of a state [B, D] and [D, 4D]; 0 for others."""
    gates = {"fdl_lstm": -1, "fdl_lstm_gradient": 0}
    if target not in gates:
        return 0.0
    time, batch, width = results[gates[target]].shape
    work: float = 2.0 * time * batch * width * width / 4
    return work


def make_forward(in_jax: Callable[..., Any]) -> Callable[..., Any]:
    """Return `(reverse, input_projection, kernel, state, cell) -> (states, cells, gates)`."""

    def results(reverse: bool, input_projection: jax.Array, *_: jax.Array) -> Any:
        time, batch, width = input_projection.shape
        states = jax.ShapeDtypeStruct((time, batch, width // 4), jnp.float32)
        return states, states, jax.ShapeDtypeStruct((time, batch, width), jnp.float32)

    return call.make_op("fdl_lstm", in_jax, results, lambda reverse: {"reverse": reverse})


def make_gradient(in_jax: Callable[..., Any]) -> Callable[..., Any]:
    """Return `(reverse, kernel, cell, cells, gates, dstates, dstate, dcell) -> (dpreactivations, dstate, dcell)`."""

    def results(reverse: bool, kernel: Any, cell: Any, cells: Any, gates: Any, *_: jax.Array) -> Any:
        return tuple(jax.ShapeDtypeStruct(like.shape, jnp.float32) for like in (gates, cell, cell))

    return call.make_op("fdl_lstm_gradient", in_jax, results, lambda reverse: {"reverse": reverse})
