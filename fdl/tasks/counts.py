"""Counting by weight, exact far beyond what one float32 counts.

One after another, ones added to a float32 stop at 2^24 and tenths drift by a percent in a million. So rows are counted
in short blocks, and a count leaves the device as two float32 numbers that are exact together: a multiple of 4096 and
the rest. Both add up over devices and micro-batches without rounding; whole counts are exact up to 2^36 a batch.

Shape legend: N rows, K classes.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.integers import ceil_div
from fdl.core.types import Array, Sum

_BASE = 4096.0
_BLOCK = 1024  # rows that are counted one after another
_BLOCKS = 4096  # so that the rests of all blocks still add up exactly
_LARGEST = 2**22  # numbers in the tables of all blocks


def tally(indices: Sequence[Array], weights: Array, shape: tuple[int, ...]) -> Sum:
    """Count rows by weight in a table of this shape: total f32[2, *shape], which `counts` reads.

    indices: i32[N] for each dimension of the table, such as label and prediction; weights: f32[N].
    """
    blocks = max(1, min(ceil_div(len(weights), _BLOCK), _BLOCKS, _LARGEST // math.prod(shape)))
    block = jnp.arange(len(weights)) // ceil_div(len(weights), blocks) if blocks > 1 else 0
    table = jnp.zeros((blocks, *shape), jnp.float32).at[(block, *indices)].add(weights)
    return Sum(in_two_parts(table), jnp.sum(weights))


def class_counts(labels: Array, predicted: Array, weights: Array) -> Sum:
    """Count rightly predicted, occurring and predicted per class, total f32[2, 3, K], of yes-or-no arrays [N, K]."""
    size = ceil_div(len(labels), max(1, min(ceil_div(len(labels), _BLOCK), _BLOCKS)))
    short = -len(labels) % size

    def in_blocks(yes: Array) -> jax.Array:
        weighed = jnp.pad(jnp.where(yes, weights[:, None], 0.0), ((0, short), (0, 0)))
        return weighed.reshape(-1, size, yes.shape[1]).sum(1)

    table = jnp.stack([in_blocks(yes) for yes in (labels & predicted, labels, predicted)], 1)
    return Sum(in_two_parts(table), jnp.sum(weights))


def in_two_parts(parts: Array) -> jax.Array:
    """Add f32[N, ...] over N and return f32[2, ...]: what of it is a multiple of 4096, and the rest."""
    high = jnp.floor(parts / _BASE) * _BASE
    rest = jnp.sum(parts - high, 0)
    carried = jnp.floor(rest / _BASE) * _BASE
    return jnp.stack([jnp.sum(high, 0) + carried, rest - carried])


def counts(tallied: Sum) -> np.ndarray:
    """Return the table f64[...] that was tallied, on the host."""
    return np.asarray(tallied.total[0] + tallied.total[1])
