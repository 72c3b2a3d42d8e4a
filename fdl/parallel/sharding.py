"""Sharding: which mesh axes split which dimensions of the parameters (FSDP, tensor parallelism)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from fdl.core.data_axis import DATA
from fdl.core.types import PyTree

FSDP, MODEL = "fsdp", "model"


AXES = (DATA, FSDP, MODEL)


# Logical axes that the model axis splits (tensor parallelism): heads and hidden units are independent within a layer.
RULES = {"heads": MODEL, "hidden": MODEL, "vocabulary": MODEL}


SMALL = 1024  # elements below which an array is replicated under FSDP


def logical_axes(path: tuple[Any, ...], names: Mapping[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return the logical axis names of a leaf of a state: those of the parameter whose path is a suffix of its path.

    So the optimizer's moments and averages are sharded as their parameters are.
    """
    parts = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    return next((names[parts[i:]] for i in range(len(parts)) if parts[i:] in names), ())


def partition_spec(shape: Sequence[int], names: Sequence[str], axes: Mapping[str, int]) -> P:
    """Return the PartitionSpec of an array over the mesh axes (name -> devices), from its logical axis names.

    A logical axis is split over the mesh axis of `RULES`, at most one per array, if it divides evenly. Then the largest
    remaining dimension that divides evenly is split over "fsdp"; small arrays are not, to save their all-gather.

    >>> tuple(partition_spec((512, 256), ("embed", "mlp"), {"data": 2, "fsdp": 4}))
    ('fsdp', None)
    """
    split: list[str | None] = [None] * len(shape)
    if len(names) == len(shape):
        for i, name in enumerate(names):
            axis = RULES.get(name, "")
            if axis in axes and axis not in split and shape[i] % axes[axis] == 0:
                split[i] = axis
    free = [i for i, size in enumerate(shape) if split[i] is None and size % axes.get(FSDP, 1) == 0]
    if FSDP in axes and free and math.prod(shape) >= SMALL:
        split[max(free, key=lambda i: shape[i])] = FSDP
    return P(*split)


def put_global(tree: PyTree, where: PyTree) -> PyTree:
    """Place a tree by one sharding or a tree of shardings; each process places the shards of its local devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, where)
    return jax.tree.map(
        _put_leaf, tree, jax.tree.map(lambda _: where, tree) if isinstance(where, NamedSharding) else where
    )


def _put_leaf(leaf: Any, where: NamedSharding) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        result: jax.Array = jax.random.wrap_key_data(_put_leaf(jax.random.key_data(leaf), where))
        return result
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where, lambda index: host[index])
