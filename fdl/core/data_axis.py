"""The data axis: collectives and global row indices, so that a shard of a batch computes what the whole batch gives.

Under `pmap` each device runs the step on its local rows and the axis `"data"` is mapped; under `jit` and `mesh` the
step sees the whole batch and the axis is not mapped. These functions check at trace time which of the two holds, so one
step, layer or augmentation serves both and no axis name is passed as an argument.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fdl.core.types import Array, PyTree, Unreduced

DATA = "data"


def mapped() -> bool:
    """Return whether the data axis is mapped where this is traced."""
    try:  # JAX has no public query for bound axis names; an unbound one raises NameError
        lax.axis_index(DATA)
    except NameError:
        return False
    return True


def add(tree: PyTree) -> PyTree:
    """Sum each leaf over the shards of the batch (psum); `Unreduced` leaves are gathered in the order of the rows."""
    if not mapped():
        return tree
    leaves, structure = jax.tree.flatten(tree, is_leaf=lambda node: isinstance(node, Unreduced))
    # One psum over a list, so that XLA can combine the leaves into one all-reduce.
    totals = iter(lax.psum([leaf for leaf in leaves if not isinstance(leaf, Unreduced)], DATA))
    return jax.tree.unflatten(structure, [all_gather(x) if isinstance(x, Unreduced) else next(totals) for x in leaves])


def rows(count: int) -> jax.Array:
    """Return i32[count]: the indices in the whole batch of this shard's `count` rows."""
    first = lax.axis_index(DATA) * count if mapped() else 0
    return first + jnp.arange(count)


def row_keys(key: Array, count: int) -> jax.Array:
    """Return key[count], one per row; an example's key does not depend on the device that holds it."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows(count))


def all_gather(tree: PyTree) -> PyTree:
    """Return the rows of all shards, in order: each leaf [B of a shard, ...] becomes [B of the batch, ...]."""
    return lax.all_gather(tree, DATA, tiled=True) if mapped() else tree


@dataclass(frozen=True)
class Grid:
    """The mesh over which the compiler (GSPMD) partitions one program.

    rows:  the mesh axes that split the rows of a batch. model: the axis that splits heads and channels, if any.
    """

    mesh: Mesh
    rows: tuple[str, ...]
    model: str | None = None

    @property
    def num_shards(self) -> int:
        """The number of shards of a batch."""
        return math.prod(self.mesh.shape[axis] for axis in self.rows)


_GRID: ContextVar[Grid | None] = ContextVar("grid", default=None)


@contextmanager
def use_grid(grid: Grid | None) -> Iterator[None]:
    """Make `grid` the current grid for what is traced inside the context."""
    token = _GRID.set(grid)
    try:
        yield
    finally:
        _GRID.reset(token)


def grid() -> Grid | None:
    """Return the grid over which the compiler partitions what is traced here; None where it does not."""
    return _GRID.get()


def split_rows(tree: PyTree, *, at: int = 0, count: int | None = None) -> PyTree:
    """Constrain dimension `at` of each array, the rows of the batch, to stay sharded over the devices.

    Without the constraint the compiler propagates the parameters' sharding to the activations: under FSDP each device
    then computes rows of other shards as well. Values do not change. count: constrain only arrays of this many rows.
    """
    current = _GRID.get()
    if current is None or current.num_shards == 1:
        return tree

    def split(x: Any) -> Any:
        if not isinstance(x, jax.Array) or x.ndim <= at or x.shape[at] % current.num_shards:
            return x
        if count is not None and x.shape[at] != count:
            return x
        spec: list[Any] = [P.UNCONSTRAINED] * x.ndim
        spec[at] = current.rows
        return lax.with_sharding_constraint(x, NamedSharding(current.mesh, P(*spec)))

    return jax.tree.map(split, tree)


def replicate(tree: PyTree) -> PyTree:
    """Constrain weights to be replicated before a loop, which would otherwise all-gather them in every iteration.

    Values do not change.
    """
    current = _GRID.get()
    if current is None:
        return tree
    return lax.with_sharding_constraint(tree, NamedSharding(current.mesh, P()))


def map_shards(function: Callable[..., PyTree], *arrays: jax.Array, heads: int | None = None) -> PyTree:
    """Return `function(*arrays)`, called per device on local rows (shard_map): for ops the compiler cannot partition.

    arrays: [B, ...], as is the result. heads: the dimension that the model axis splits, in arrays that have it.
    """
    current = _GRID.get()
    if current is None or len(arrays[0]) % current.num_shards:  # too few rows for the grid: shape evaluation only
        return function(*arrays)
    model = current.model
    if heads is None or model is None or arrays[0].shape[heads] % current.mesh.shape[model]:
        model = None

    def spec(x: Any) -> P:
        split: list[Any] = [current.rows] + [None] * (x.ndim - 1)
        if model is not None and heads is not None and x.ndim > heads:
            split[heads] = model
        return P(*split)

    shapes = jax.eval_shape(function, *arrays)
    return jax.shard_map(
        function,
        mesh=current.mesh,
        in_specs=tuple(map(spec, arrays)),
        out_specs=jax.tree.map(spec, shapes),
        check_vma=False,
    )(*arrays)
