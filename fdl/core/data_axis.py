"""The data axis: what a shard of a batch must know to give the numbers of the whole batch.

Under `pmap` each device runs the step on its own rows and the axis `"data"` is mapped; under `jit` and `mesh` the step
sees the whole batch and it is not. These functions ask which it is while JAX traces, so that one and the same step,
layer or augmentation is right in both worlds and nobody passes an axis name around.
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
    """Say whether the data axis is mapped where this is traced."""
    try:
        lax.axis_index(DATA)
    except NameError:
        return False
    return True


def add(tree: PyTree) -> PyTree:
    """Add each leaf over the shards of the batch; what is unreduced is laid side by side, in the order of the rows."""
    if not mapped():
        return tree
    leaves, structure = jax.tree.flatten(tree, is_leaf=lambda node: isinstance(node, Unreduced))
    totals = iter(lax.psum([leaf for leaf in leaves if not isinstance(leaf, Unreduced)], DATA))  # one exchange for all
    return jax.tree.unflatten(structure, [all_gather(x) if isinstance(x, Unreduced) else next(totals) for x in leaves])


def rows(count: int) -> jax.Array:
    """Return i32[count]: the positions in the whole batch of this shard's `count` rows."""
    first = lax.axis_index(DATA) * count if mapped() else 0
    return first + jnp.arange(count)


def row_keys(key: Array, count: int) -> jax.Array:
    """Return key[count], one per row: the same for an example whichever device it landed on."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows(count))


def all_gather(tree: PyTree) -> PyTree:
    """Return the rows of all shards, in order: each leaf [B of a shard, ...] becomes [B of the batch, ...]."""
    return lax.all_gather(tree, DATA, tiled=True) if mapped() else tree


@dataclass(frozen=True)
class Grid:
    """The devices that the compiler splits one program over.

    rows:  the axes that share the rows of a batch. model: the one that shares heads and channels, if there is one.
    """

    mesh: Mesh
    rows: tuple[str, ...]
    model: str | None = None

    @property
    def shares(self) -> int:
        """How many parts the rows of a batch are cut into."""
        return math.prod(self.mesh.shape[axis] for axis in self.rows)


_GRID: ContextVar[Grid | None] = ContextVar("grid", default=None)


@contextmanager
def over(grid: Grid | None) -> Iterator[None]:
    """Let what is traced here know the devices over which the compiler will split it."""
    token = _GRID.set(grid)
    try:
        yield
    finally:
        _GRID.reset(token)


def grid() -> Grid | None:
    """Return the devices over which the compiler splits what is traced here; None where it does not."""
    return _GRID.get()


def split_rows(tree: PyTree, *, at: int = 0, count: int | None = None) -> PyTree:
    """Ask the compiler to keep dimension `at` of each array, the rows of the batch, split over the devices.

    Left to itself it takes the split of the parameters for the activations: with FSDP each device then computes rows of
    others, too. Changes no number. count: only arrays of so many rows are meant.
    """
    here = _GRID.get()
    if here is None or here.shares == 1:
        return tree

    def split(x: Any) -> Any:
        if not isinstance(x, jax.Array) or x.ndim <= at or x.shape[at] % here.shares:
            return x
        if count is not None and x.shape[at] != count:
            return x
        spec: list[Any] = [P.UNCONSTRAINED] * x.ndim
        spec[at] = here.rows
        return lax.with_sharding_constraint(x, NamedSharding(here.mesh, P(*spec)))

    return jax.tree.map(split, tree)


def gathered(tree: PyTree) -> PyTree:
    """Ask the compiler to bring weights together before a loop, whose every turn would else exchange something.

    Changes no number.
    """
    here = _GRID.get()
    if here is None:
        return tree
    return lax.with_sharding_constraint(tree, NamedSharding(here.mesh, P()))


def each_share(function: Callable[..., PyTree], *arrays: jax.Array, heads: int | None = None) -> PyTree:
    """Return `function(*arrays)` where every device calls it on its own rows: for what the compiler cannot split.

    arrays: [B, ...], as is the result. heads: the dimension that the model axis splits, of arrays that have it.
    """
    here = _GRID.get()
    if here is None or len(arrays[0]) % here.shares:  # of too few rows only shapes are asked for
        return function(*arrays)
    model = here.model
    if heads is None or model is None or arrays[0].shape[heads] % here.mesh.shape[model]:
        model = None

    def spec(x: Any) -> P:
        split: list[Any] = [here.rows] + [None] * (x.ndim - 1)
        if model is not None and heads is not None and x.ndim > heads:
            split[heads] = model
        return P(*split)

    shapes = jax.eval_shape(function, *arrays)
    return jax.shard_map(
        function,
        mesh=here.mesh,
        in_specs=tuple(map(spec, arrays)),
        out_specs=jax.tree.map(spec, shapes),
        check_vma=False,
    )(*arrays)
