"""Weighted counts, exact far beyond the range of one float32.

A float32 accumulator of ones stops at 2^24, one of tenths drifts by a percent in a million. So rows are counted in
short blocks, and a count leaves the device as two float32 numbers whose sum is exact: a multiple of 4096 and the
remainder. Both add over devices and micro-batches without rounding; integer counts are exact up to 2^36 per batch.

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
_BLOCK = 1024  # rows accumulated in one float32
_BLOCKS = 4096  # at most, so that the remainders of all blocks still add exactly
_LARGEST = 2**22  # elements in the tables of all blocks


def tally(indices: Sequence[Array], weights: Array, shape: tuple[int, ...]) -> Sum:
    """Return a weighted histogram of this shape: total f32[2, *shape], which `counts` decodes.

    indices: i32[N] per dimension of the table, such as label and prediction; weights: f32[N].
    """
    blocks = max(1, min(ceil_div(len(weights), _BLOCK), _BLOCKS, _LARGEST // math.prod(shape)))
    block = jnp.arange(len(weights)) // ceil_div(len(weights), blocks) if blocks > 1 else 0
    table = jnp.zeros((blocks, *shape), jnp.float32).at[(block, *indices)].add(weights)
    return Sum(in_two_parts(table), jnp.sum(weights))


def class_counts(labels: Array, predicted: Array, weights: Array) -> Sum:
    """Count true positives, positives and predicted positives per class, total f32[2, 3, K], of bool arrays [N, K]."""
    size = ceil_div(len(labels), max(1, min(ceil_div(len(labels), _BLOCK), _BLOCKS)))
    short = -len(labels) % size

    def in_blocks(positive: Array) -> jax.Array:
        weighed = jnp.pad(jnp.where(positive, weights[:, None], 0.0), ((0, short), (0, 0)))
        return weighed.reshape(-1, size, positive.shape[1]).sum(1)

    table = jnp.stack([in_blocks(positive) for positive in (labels & predicted, labels, predicted)], 1)
    return Sum(in_two_parts(table), jnp.sum(weights))


def in_two_parts(parts: Array) -> jax.Array:
    """Sum f32[N, ...] over N; return f32[2, ...]: the part that is a multiple of 4096, and the remainder."""
    high = jnp.floor(parts / _BASE) * _BASE
    remainder = jnp.sum(parts - high, 0)
    carried = jnp.floor(remainder / _BASE) * _BASE
    return jnp.stack([jnp.sum(high, 0) + carried, remainder - carried])


def counts(tallied: Sum) -> np.ndarray:
    """Return the table f64[...] of a `tally`, on the host."""
    return np.asarray(tallied.total[0] + tallied.total[1])
