"""Sharding: which mesh axes split which dimensions of the parameters (FSDP, tensor parallelism)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from fdl.core.data_axis import DATA
from fdl.core.types import PyTree

FSDP, MODEL = "fsdp", "model"


AXES = (DATA, FSDP, MODEL)


# Which logical dimensions of parameters the model axis splits: heads and hidden units never meet inside a layer.
RULES = {"heads": MODEL, "hidden": MODEL, "vocabulary": MODEL}


SMALL = 1024


def logical_axes(path: tuple, names: Mapping[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return the logical names of a leaf of a state: those of the parameter whose path its own ends with.

    So the optimizer's moments and averages lie where their parameters do.
    """
    words = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    return next((names[words[i:]] for i in range(len(words)) if words[i:] in names), ())


def partition_spec(shape: Sequence[int], names: Sequence[str], axes: Mapping[str, int]) -> P:
    """Return how an array is split over the axes (name -> devices), given the logical names of its dimensions.

    A name goes to the axis `RULES` log, once for each array and if it divides. Then the longest dimension left that
    divides goes to "fsdp"; arrays too small to be worth an exchange stay whole.
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
    """Place a tree by one sharding for all leaves or by a tree of them; each process places what its devices hold."""
    if jax.process_count() == 1:
        return jax.device_put(tree, where)
    return jax.tree.map(
        _put_leaf, tree, jax.tree.map(lambda _: where, tree) if isinstance(where, NamedSharding) else where
    )


def _put_leaf(leaf: Any, where: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put_leaf(jax.random.key_data(leaf), where))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where, lambda index: host[index])
