"""Executors: where a step runs, and never what it computes.

Each gives the same four verbs for the same shapes: a state has no device dimension, a chunk is [S, B, ...] with B the
whole batch, and sums come back as totals of the whole batch. N devices share the B rows evenly.

Several processes are one executor over all their devices. Each calls the same verbs with the same values and places the
part that its own devices hold.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, NamedSharding, Sharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

from fdl.core import data_axis, kernel_choice
from fdl.core.data_axis import DATA
from fdl.core.types import PyTree, Step, TrainState
from fdl.parallel.sharding import FSDP, MODEL, logical_axes, partition_spec, put_global

Put = Callable[[PyTree], PyTree]


@dataclass(frozen=True, kw_only=True)
class Executor:
    """The devices and the four verbs.

    shares: how many equal parts the rows of a batch are cut into.
    own_rows: `B -> slice`, the rows of a batch that devices of this process hold; all of them in one process.
    layout: a state, or its shapes -> where each leaf lies (`jax.sharding.Sharding`).
    put_state, put_chunk, put_constant: place a state, a chunk [S, B, ...] (split over B), whole arrays for all steps.
    compile: `(step, state, chunk, *constants) -> call` ahead of time, for exactly these shapes: a call with other
        shapes is an error, never a silent recompilation. The call donates the state and gives it back.
    lower: the same before it is compiled; takes shapes (see `shapes`) as well as arrays, and devices that are only
        described (`fdl.parallel.targets`).
    grid: what layers may know of the devices over which the compiler splits a batch.
    chunk_sharding, constant_sharding: how what they put lies; None under pmap, which splits a chunk by its shape.
    """

    name: str
    devices: tuple[jax.Device, ...]
    shares: int
    layout: Put
    put_state: Put
    put_chunk: Put
    put_constant: Put
    lower: Callable[..., Any]
    chunk_sharding: Sharding | None
    constant_sharding: Sharding | None
    grid: data_axis.Grid | None = None
    own_rows: Callable[[int], slice] = slice

    def compile(self, step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Step:
        """Return the step compiled for these shapes and placements."""
        with _in_order(self.devices):
            return self.lower(step, state, chunk, *constants).compile()

    def make_state(self, init: Callable[[], PyTree]) -> PyTree:
        """Return the state that `init` computes, of which each device computes and holds only its own part."""
        with _in_order(self.devices):
            return jax.jit(init, out_shardings=self.layout(jax.eval_shape(init)))()

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Let what is traced here choose and split as it would be for these devices."""
        with kernel_choice.compiling_for(self.devices[0]), data_axis.use_grid(self.grid):
            yield

    def shapes(self, state: PyTree, chunk: PyTree, *constants: PyTree) -> tuple[PyTree, ...]:
        """Return the shapes of a state, a chunk and constants as `lower` takes them, where they would be put."""

        def at(where: Sharding | None) -> Put:
            return lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)

        def split(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((x.shape[0], self.shares, x.shape[1] // self.shares, *x.shape[2:]), x.dtype)

        if self.chunk_sharding is None:
            return at(None)(state), jax.tree.map(split, chunk), *map(at(None), constants)
        placed = jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), state, self.layout(state)
        )
        return placed, at(self.chunk_sharding)(chunk), *map(at(self.constant_sharding), constants)

    def bytes_per_device(self, state: PyTree) -> int:
        """Return the bytes that a state, or its shapes, takes on each device."""
        held = jax.tree.map(
            lambda x, at: math.prod(at.shard_shape(x.shape)) * x.dtype.itemsize, state, self.layout(state)
        )
        return sum(jax.tree.leaves(held))


def _for_target(
    lower: Callable[..., Any], device: jax.Device, grid: data_axis.Grid | None = None
) -> Callable[..., Any]:
    """Return `lower`, whose program chooses its kernels for this device, and knows the grid it is split over.

    A new function each time: JAX would take the choices of an earlier trace of the same one.
    """

    def chosen(step: Step, *args: PyTree) -> Any:
        with kernel_choice.compiling_for(device), data_axis.use_grid(grid):
            return lower(functools.partial(step), *args)

    return chosen


@contextlib.contextmanager
def _in_order(devices: Sequence[jax.Device]) -> Iterator[None]:
    """Compile here without the compile cache, where several CPU devices run one program.

    What lets them enter the collectives of a program in one order (XLA:CPU's communicator resource) is lost when it is
    written to the cache: loaded again, its devices may wait for one another for ever.
    """
    used = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    if len(devices) == 1 or devices[0].platform != "cpu" or not used:
        yield
        return
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # JAX asks only once whether there is one
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()


def fetch(tree: PyTree) -> PyTree:
    """Return the arrays of a tree on the host, where they are finished; a CPU's lie there and are not copied."""
    return jax.tree.map(np.asarray, tree) if jax.default_backend() == "cpu" else jax.device_get(tree)


def jit(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs on one device, the first."""
    device = (devices or jax.devices())[0]
    here = SingleDeviceSharding(device)

    def put(tree: PyTree) -> PyTree:
        return jax.device_put(tree, device)

    def lower(step: Step, *args: PyTree) -> Any:
        return jax.jit(step, donate_argnums=0).lower(*args)

    return Executor(
        name="jit",
        devices=(device,),
        shares=1,
        layout=lambda tree: jax.tree.map(lambda _: here, tree),
        put_state=put,
        # On the CPU a call takes arrays of the host as they are; placed before, they cost three times as much.
        put_chunk=(lambda tree: tree) if device.platform == "cpu" else put,
        put_constant=put,
        lower=_for_target(lower, device),
        chunk_sharding=here,
        constant_sharding=here,
    )


def mesh(
    devices: Sequence[jax.Device] | None = None,
    shape: Mapping[str, int] | None = None,
    names: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
    *,
    batches: bool = True,
) -> Executor:
    """Make the executor that lets the compiler split one program over the devices.

    shape: axis -> devices along it; all along "data" if it is left out. The rows of a batch are split over "data" and
           "fsdp", parameters and optimizer over "fsdp", and over "model" what `RULES` say of logical names.
    names: path of a parameter -> the logical names of its dimensions (see `fdl.models.partitioning`).
    batches: what is split are the rows of batches, and layers may say so; not the members of a population.
    """
    devices = tuple(devices or jax.devices())
    shape = dict(shape or {DATA: len(devices)})
    grid = jax.make_mesh(tuple(shape.values()), tuple(shape), devices=devices, axis_types=(AxisType.Auto,) * len(shape))
    by_rows = tuple(axis for axis in (DATA, FSDP) if axis in shape)
    whole, rows = NamedSharding(grid, P()), NamedSharding(grid, P(None, by_rows))
    known = data_axis.Grid(grid, by_rows, MODEL if shape.get(MODEL, 1) > 1 else None) if batches else None

    def own_rows(size: int) -> slice:
        indices = rows.addressable_devices_indices_map((1, size)).values()
        held = [index[1].indices(size) for index in indices if index]
        return slice(min(start for start, _, _ in held), max(stop for _, stop, _ in held))

    def layout(state: PyTree) -> PyTree:
        def at(path: tuple, leaf: Any) -> NamedSharding:
            return NamedSharding(grid, partition_spec(leaf.shape, logical_axes(path, names or {}), shape))

        return jax.tree_util.tree_map_with_path(at, state)

    def lower(step: Step, state: PyTree, *rest: PyTree) -> Any:
        kept = jax.tree.map(lambda x: x.sharding, state)
        return jax.jit(step, donate_argnums=0, out_shardings=(kept, whole)).lower(state, *rest)

    return Executor(
        name="mesh",
        devices=devices,
        shares=math.prod(shape[axis] for axis in by_rows),
        layout=layout,
        put_state=lambda state: put_global(state, layout(state)),
        put_chunk=lambda tree: put_global(tree, rows),
        put_constant=lambda tree: put_global(tree, whole),
        lower=_for_target(lower, devices[0], known),
        chunk_sharding=rows,
        constant_sharding=whole,
        grid=known,
        own_rows=own_rows,
    )


def members(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor of a population: each device has members of its own, states [P, ...] and chunks [S, P, ...]."""
    shared = mesh(devices, batches=False)
    grid = jax.make_mesh((len(shared.devices),), (DATA,), devices=shared.devices, axis_types=(AxisType.Auto,))
    whole, own = NamedSharding(grid, P()), NamedSharding(grid, P(DATA))

    def layout(states: TrainState) -> PyTree:
        return jax.tree.map(lambda _: own, states)._replace(step=whole)

    return replace(shared, name="members", layout=layout, put_state=lambda states: put_global(states, layout(states)))


def pmap(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs the step on each device's own rows, joined by the mapped data axis."""
    devices = tuple(devices or jax.devices())

    def mapped(function: Callable[..., Any], in_axes: Any, out_axes: Any, **donate: Any) -> Any:
        return jax.pmap(function, axis_name=DATA, in_axes=in_axes, out_axes=out_axes, devices=devices, **donate)

    whole = NamedSharding(jax.make_mesh((len(devices),), (DATA,), devices=devices), P())

    # An identity map leaves arrays placed as every later call wants them: nothing is broadcast twice.
    place = mapped(lambda _, tree: tree, (0, None), None)

    def put(tree: PyTree) -> PyTree:
        return place(jax.numpy.arange(len(devices)), tree)

    def split(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(x.shape[0], len(devices), -1, *x.shape[2:]), tree)

    def lower(step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Any:
        axes = (None, 1, *(None for _ in constants))
        return mapped(step, axes, (None, None), donate_argnums=0).lower(state, chunk, *constants)

    return Executor(
        name="pmap",
        devices=devices,
        shares=len(devices),
        layout=lambda tree: jax.tree.map(lambda _: whole, tree),
        put_state=put,
        put_chunk=split,
        put_constant=put,
        lower=_for_target(lower, devices[0]),
        chunk_sharding=None,
        constant_sharding=None,
    )


EXECUTORS = {"jit": jit, "pmap": pmap, "mesh": mesh}
