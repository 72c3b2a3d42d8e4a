"""The LSTM scan with a custom backward pass: one weight gradient after the loop, not one per time step.

One buffer [T, B, 4D] holds the input projections and is overwritten step by step with the gate activations, so no
second array of its size is allocated. The native form is C++ (`fdl/models/kernels/native/lstm.h`).

Shape legend: B batch, T time, D width.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.kernel_choice import forced_native
from fdl.models.kernels.native import lstm as native

Carry = tuple[jax.Array, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def scan_lstm(
    input_projection: jax.Array, kernel: jax.Array, start: Carry, mask: jax.Array | None, reverse: bool
) -> tuple[Carry, jax.Array]:
    """Return the last carry and every state [T, B, D].

    input_projection: [T, B, 4D]; kernel: [D, 4D]; start: two of [B, D]; mask: bool[T, B], steps that update the carry.
    """
    if forced_native("lstm"):  # else without a gradient, as in evaluation and prediction, it is not
        return _training_forward(input_projection, kernel, start, mask, reverse)[0]
    return _forward(input_projection, kernel, start, mask, reverse)[0]


def _activate(preactivation: jax.Array) -> jax.Array:
    """Return the activations [B, 4D] of the preactivations: tanh for the candidate (third of i f g o), else σ.

    A single tanh computes both, since σ(x) = (1 + tanh(x/2)) / 2.
    """
    candidate = jnp.arange(preactivation.shape[-1])[None] * 4 // preactivation.shape[-1] == 2
    half = jnp.where(candidate, 1.0, 0.5).astype(preactivation.dtype)
    return jnp.tanh(preactivation * half) * half + (1 - half)


def _forward(
    input_projection: jax.Array, kernel: jax.Array, start: Carry, mask: jax.Array | None, reverse: bool
) -> tuple[tuple[Carry, jax.Array], tuple[Any, ...]]:
    def step(
        carry: tuple[Carry, jax.Array], xs: tuple[jax.Array, jax.Array | None]
    ) -> tuple[tuple[Carry, jax.Array], Carry]:
        ((state, cell), gates), (time, valid) = carry, xs
        gates = lax.dynamic_update_index_in_dim(gates, _activate(gates[time] + state @ kernel), time, 0)
        input_gate, forget_gate, candidate, output_gate = jnp.split(gates[time], 4, axis=-1)
        after = forget_gate * cell + input_gate * candidate
        hidden = output_gate * jnp.tanh(after)
        if valid is not None:
            after = jnp.where(valid[:, None], after, cell)
            hidden = jnp.where(valid[:, None], hidden, state)
        return ((hidden, after), gates), (hidden, after)

    times = jnp.arange(len(input_projection))
    (last, gates), (states, cells) = lax.scan(step, (start, input_projection), (times, mask), reverse=reverse)
    return (last, states), (kernel, start, mask, states, cells, gates)


def _training_forward(
    input_projection: jax.Array, kernel: jax.Array, start: Carry, mask: jax.Array | None, reverse: bool
) -> tuple[tuple[Carry, jax.Array], tuple[Any, ...]]:
    if not native.usable(input_projection, kernel, start, mask):
        return _forward(input_projection, kernel, start, mask, reverse)
    states, cells, gates = _native_forward(reverse, input_projection, kernel, *start)
    last = 0 if reverse else -1
    return ((states[last], cells[last]), states), (kernel, start, mask, states, cells, gates)


def _backward(reverse: bool, residuals: tuple[Any, ...], cotangents: tuple[Carry, jax.Array]) -> tuple[Any, ...]:
    kernel, start, mask, states, cells, gates = residuals
    dlast, dstates = cotangents
    if native.usable(gates, kernel, start, mask):
        dpreactivation, *dstart = _native_gradient(reverse, kernel, start[1], cells, gates, dstates, *dlast)
    else:
        dpreactivation, dstart = _gradient(reverse, kernel, start[1], (cells, gates, mask), dstates, dlast)
    width, gates_width = kernel.shape
    before = _before(states, start[0], reverse)
    dkernel = before.reshape(-1, width).T @ dpreactivation.reshape(-1, gates_width)
    return dpreactivation, dkernel, tuple(dstart), None


def _gradient(
    reverse: bool, kernel: jax.Array, cell: jax.Array, saved: tuple[Any, ...], dstates: jax.Array, dlast: Carry
) -> tuple[jax.Array, Carry]:
    """Return the gradients by the preactivations [T, B, 4D] and by the carry before the first step."""
    cells, gates, mask = saved
    cells_before = _before(cells, cell, reverse)
    transposed = kernel.T

    def step(carry: Carry, xs: tuple[Any, ...]) -> tuple[Carry, jax.Array]:
        (dstate, dcell), (doutput, gate, cell, cell_before, valid) = carry, xs
        dstate = dstate + doutput
        input_gate, forget_gate, candidate, output_gate = jnp.split(gate, 4, axis=-1)
        tanh_cell = jnp.tanh(cell)
        dc = dcell + dstate * output_gate * (1 - tanh_cell * tanh_cell)
        dpreactivation = jnp.concatenate(
            [
                dc * candidate * input_gate * (1 - input_gate),
                dc * cell_before * forget_gate * (1 - forget_gate),
                dc * input_gate * (1 - candidate * candidate),
                dstate * tanh_cell * output_gate * (1 - output_gate),
            ],
            axis=-1,
        )
        if valid is not None:
            dpreactivation = jnp.where(valid[:, None], dpreactivation, jnp.zeros((), dpreactivation.dtype))
        dhidden = dpreactivation @ transposed
        dc = dc * forget_gate
        if valid is not None:
            dhidden = jnp.where(valid[:, None], dhidden, dstate)
            dc = jnp.where(valid[:, None], dc, dcell)
        return (dhidden, dc), dpreactivation

    over_time = (dstates, gates, cells, cells_before, mask)
    dstart, dpreactivation = lax.scan(step, dlast, over_time, reverse=not reverse)
    return dpreactivation, dstart


def _before(values: jax.Array, start: jax.Array, reverse: bool) -> jax.Array:
    """Return the value before each step, [T, B, D]."""
    if reverse:
        return jnp.concatenate([values[1:], start[None]])
    return jnp.concatenate([start[None], values[:-1]])


def _forward_in_jax(
    reverse: bool, input_projection: jax.Array, kernel: jax.Array, *start: jax.Array
) -> tuple[jax.Array, ...]:
    residuals = _forward(input_projection, kernel, (start[0], start[1]), None, reverse)[1]
    return residuals[3:]


def _gradient_in_jax(
    reverse: bool, kernel: jax.Array, cell: jax.Array, cells: jax.Array, gates: jax.Array, *cotangents: jax.Array
) -> tuple[jax.Array, ...]:
    dstates, *dlast = cotangents
    dpreactivation, dstart = _gradient(reverse, kernel, cell, (cells, gates, None), dstates, (dlast[0], dlast[1]))
    return dpreactivation, *dstart


_native_forward = native.make_forward(_forward_in_jax)
_native_gradient = native.make_gradient(_gradient_in_jax)
scan_lstm.defvjp(_training_forward, _backward)
