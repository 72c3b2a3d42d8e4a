"""The LSTM's walk along time with a backward pass of its own: one weight gradient after the loop, not one a step.

One array holds, for each time step, first what the inputs tell the gates and then how far the gates were open: nothing
of its size is copied.

Shape legend: B batch, T time, D width.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

Carry = tuple[jax.Array, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def walk(
    drive: jax.Array, kernel: jax.Array, start: Carry, alive: jax.Array | None, reverse: bool
) -> tuple[Carry, jax.Array]:
    """Return the last carry and every state [T, B, D].

    drive: [T, B, 4D]; kernel: [D, 4D]; start: two of [B, D]; alive: bool[T, B], the steps that change the carry.
    """
    return _forward(drive, kernel, start, alive, reverse)[0]


def _opened(told: jax.Array) -> jax.Array:
    """Return how far the gates are open, [B, 4D], for what they were told, and the new memory, which is the third.

    One tanh for all, since σ(x) = (1 + tanh(x/2)) / 2.
    """
    new = jnp.arange(told.shape[-1])[None] * 4 // told.shape[-1] == 2
    half = jnp.where(new, 1.0, 0.5).astype(told.dtype)
    return jnp.tanh(told * half) * half + (1 - half)


def _forward(
    drive: jax.Array, kernel: jax.Array, start: Carry, alive: jax.Array | None, reverse: bool
) -> tuple[tuple[Carry, jax.Array], tuple]:
    def step(
        carry: tuple[Carry, jax.Array], now: tuple[jax.Array, jax.Array | None]
    ) -> tuple[tuple[Carry, jax.Array], Carry]:
        ((state, memory), gates), (time, living) = carry, now
        gates = lax.dynamic_update_index_in_dim(gates, _opened(gates[time] + state @ kernel), time, 0)
        write, forget, new, read = jnp.split(gates[time], 4, axis=-1)
        after = forget * memory + write * new
        shown = read * jnp.tanh(after)
        if living is not None:
            after = jnp.where(living[:, None], after, memory)
            shown = jnp.where(living[:, None], shown, state)
        return ((shown, after), gates), (shown, after)

    times = jnp.arange(len(drive))
    (last, gates), (states, memories) = lax.scan(step, (start, drive), (times, alive), reverse=reverse)
    return (last, states), (kernel, start, alive, states, memories, gates)


def _backward(reverse: bool, kept: tuple, given: tuple[Carry, jax.Array]) -> tuple:
    kernel, start, alive, states, memories, gates = kept
    dlast, dstates = given
    before, memories_before = _before(states, start[0], reverse), _before(memories, start[1], reverse)
    turned = kernel.T

    def step(carry: Carry, now: tuple) -> tuple[Carry, jax.Array]:
        (dstate, dmemory), (dseen, gate, memory, earlier, living) = carry, now
        dstate = dstate + dseen
        write, forget, new, read = jnp.split(gate, 4, axis=-1)
        bent = jnp.tanh(memory)
        dm = dmemory + dstate * read * (1 - bent * bent)
        dtold = jnp.concatenate(
            [
                dm * new * write * (1 - write),
                dm * earlier * forget * (1 - forget),
                dm * write * (1 - new * new),
                dstate * bent * read * (1 - read),
            ],
            axis=-1,
        )
        if living is not None:
            dtold = jnp.where(living[:, None], dtold, jnp.zeros((), dtold.dtype))
        through = dtold @ turned
        dm = dm * forget
        if living is not None:
            through = jnp.where(living[:, None], through, dstate)
            dm = jnp.where(living[:, None], dm, dmemory)
        return (through, dm), dtold

    over_time = (dstates, gates, memories, memories_before, alive)
    dstart, dtold = lax.scan(step, dlast, over_time, reverse=not reverse)
    width, gates_width = kernel.shape
    dkernel = before.reshape(-1, width).T @ dtold.reshape(-1, gates_width)
    return dtold, dkernel, dstart, None


def _before(values: jax.Array, start: jax.Array, reverse: bool) -> jax.Array:
    """Return what each step began from, [T, B, D]."""
    if reverse:
        return jnp.concatenate([values[1:], start[None]])
    return jnp.concatenate([start[None], values[:-1]])


walk.defvjp(_forward, _backward)
