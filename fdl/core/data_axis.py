"""The data axis: what a shard of a batch must know to give the numbers of the whole batch.

Under `pmap` each device runs the step on its own rows and the axis `"data"` is mapped; under `jit` and `mesh` the step
sees the whole batch and it is not. These functions ask which it is while JAX traces, so that one and the same step,
layer or augmentation is right in both worlds and nobody passes an axis name around.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.types import Array, PyTree

DATA = "data"


def mapped() -> bool:
    """Say whether the data axis is mapped where this is traced."""
    try:
        lax.axis_index(DATA)
    except NameError:
        return False
    return True


def add(tree: PyTree) -> PyTree:
    """Add each leaf over the shards of the batch."""
    return lax.psum(tree, DATA) if mapped() else tree


def rows(count: int) -> jax.Array:
    """Return i32[count]: the positions in the whole batch of this shard's `count` rows."""
    first = lax.axis_index(DATA) * count if mapped() else 0
    return first + jnp.arange(count)


def row_keys(key: Array, count: int) -> jax.Array:
    """Return key[count], one per row: the same for an example whichever device it landed on."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows(count))


def gather(tree: PyTree) -> PyTree:
    """Return the rows of all shards, in order: each leaf [B of a shard, ...] becomes [B of the batch, ...]."""
    return lax.all_gather(tree, DATA, tiled=True) if mapped() else tree
