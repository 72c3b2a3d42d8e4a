"""The LSTM's walk along time with a backward pass of its own: one weight gradient after the loop, not one a step.

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


def _act(gates: jax.Array, memory: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    write, forget, new, read = jnp.split(gates, 4, axis=-1)
    write, forget, new, read = jax.nn.sigmoid(write), jax.nn.sigmoid(forget), jnp.tanh(new), jax.nn.sigmoid(read)
    memory = forget * memory + write * new
    return read * jnp.tanh(memory), memory, jnp.concatenate([write, forget, new, read], axis=-1)


def _forward(
    drive: jax.Array, kernel: jax.Array, start: Carry, alive: jax.Array | None, reverse: bool
) -> tuple[tuple[Carry, jax.Array], tuple]:
    def step(carry: Carry, now: tuple[jax.Array, jax.Array | None]) -> tuple[Carry, tuple[jax.Array, ...]]:
        driven, living = now
        state, memory, gates = _act(driven + carry[0] @ kernel, carry[1])
        if living is not None:
            state = jnp.where(living[:, None], state, carry[0])
            memory = jnp.where(living[:, None], memory, carry[1])
        return (state, memory), (state, memory, gates)

    last, (states, memories, gates) = lax.scan(step, start, (drive, alive), reverse=reverse)
    return (last, states), (kernel, start, alive, states, memories, gates)


def _backward(reverse: bool, kept: tuple, given: tuple[Carry, jax.Array]) -> tuple:
    kernel, start, alive, states, memories, gates = kept
    (dstate, dmemory), dstates = given
    before, memories_before = _before(states, start[0], reverse), _before(memories, start[1], reverse)
    turned = kernel.T

    def step(carry: Carry, now: tuple) -> tuple[Carry, jax.Array]:
        dstate, dmemory = carry
        dseen, gate, memory, earlier, living = now
        dstate = dstate + dseen
        write, forget, new, read = jnp.split(gate, 4, axis=-1)
        bent = jnp.tanh(memory)
        dm = dmemory + dstate * read * (1 - bent * bent)
        dgate = jnp.concatenate(
            [
                dm * new * write * (1 - write),
                dm * earlier * forget * (1 - forget),
                dm * write * (1 - new * new),
                dstate * bent * read * (1 - read),
            ],
            axis=-1,
        )
        if living is not None:
            dgate = jnp.where(living[:, None], dgate, jnp.zeros((), dgate.dtype))
        through = dgate @ turned
        dm = dm * forget
        if living is not None:
            through = jnp.where(living[:, None], through, dstate)
            dm = jnp.where(living[:, None], dm, dmemory)
        return (through, dm), dgate

    over_time = (dstates, gates, memories, memories_before, alive)
    dstart, dgates = lax.scan(step, (dstate, dmemory), over_time, reverse=not reverse)
    width, gates_width = kernel.shape
    dkernel = before.reshape(-1, width).T @ dgates.reshape(-1, gates_width)
    return dgates, dkernel, dstart, None


def _before(values: jax.Array, start: jax.Array, reverse: bool) -> jax.Array:
    """Return what each step began from, [T, B, D]."""
    if reverse:
        return jnp.concatenate([values[1:], start[None]])
    return jnp.concatenate([start[None], values[:-1]])


walk.defvjp(_forward, _backward)
