"""Rows of a table, whose gradient is added up by a matrix product where the table is small.

XLA:CPU scatters one number after another; the product with one-hot rows has every core and vector unit at work.

Shape legend: V rows of the table, D width, ... any dimensions of the tokens.
"""

import jax
import jax.numpy as jnp

from fdl.core.kernel_choice import custom


def rows(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return array[..., D]: the row of `table: array[V, D]` for each of `tokens: int[...]`."""
    if folds(table.shape[0], tokens.size):
        return _own(table, tokens)
    return jnp.take(table, tokens, axis=0)


def folds(vocabulary: int, tokens: int) -> bool:
    """Say whether a table is so small beside its uses that what is done to rows is better done to all of it."""
    return custom("embedding") and vocabulary <= 1024 and 4 * vocabulary <= tokens


@jax.custom_vjp
def _own(table: jax.Array, tokens: jax.Array) -> jax.Array:
    return jnp.take(table, tokens, axis=0)


def _forward(table: jax.Array, tokens: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _own(table, tokens), (tokens, jnp.zeros((table.shape[0], 0), table.dtype))


def _backward(kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, None]:
    tokens, like = kept
    hot = jax.nn.one_hot(tokens.reshape(-1), like.shape[0], dtype=g.dtype)
    return hot.T @ g.reshape(-1, g.shape[-1]), None


_own.defvjp(_forward, _backward)
