"""Embedding lookup whose gradient is a matrix product where the table is small.

XLA:CPU's scatter-add is serial; the product with one-hot rows uses all cores and vector units.

Shape legend: V rows of the table, D width, ... any dimensions of the tokens.
"""

import jax
import jax.numpy as jnp

from fdl.core.kernel_choice import custom


def rows(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return array[..., D]: the row of `table: array[V, D]` for each of `tokens: int[...]`."""
    if use_matmul(table.shape[0], tokens.size):
        return _custom(table, tokens)
    return jnp.take(table, tokens, axis=0)


def use_matmul(vocabulary: int, tokens: int) -> bool:
    """Return whether the table is so small, relative to its uses, that computing on the whole table is faster."""
    return custom("embedding") and vocabulary <= 1024 and 4 * vocabulary <= tokens


@jax.custom_vjp
def _custom(table: jax.Array, tokens: jax.Array) -> jax.Array:
    return jnp.take(table, tokens, axis=0)


# The empty array carries the table's row count and dtype to the backward pass at no cost.
def _forward(table: jax.Array, tokens: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _custom(table, tokens), (tokens, jnp.zeros((table.shape[0], 0), table.dtype))


def _backward(residuals: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, None]:
    tokens, like = residuals
    hot = jax.nn.one_hot(tokens.reshape(-1), like.shape[0], dtype=g.dtype)
    return hot.T @ g.reshape(-1, g.shape[-1]), None


_custom.defvjp(_forward, _backward)
