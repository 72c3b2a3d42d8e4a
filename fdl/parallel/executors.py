"""Executors: where a step runs, never what it computes.

All have the same four methods with the same shapes: a state has no device dimension, a chunk is [S, B, ...] with B the
global batch, and sums are totals of the global batch. The B rows are split evenly over N devices.

In a multi-process run there is one executor over the devices of all processes. Each process calls the same methods with
the same values and places the shards of its local devices.
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
from fdl.core.errors import UserError
from fdl.core.types import PyTree, Step, TrainState
from fdl.parallel.sharding import FSDP, MODEL, logical_axes, partition_spec, put_global

Put = Callable[[PyTree], PyTree]


@dataclass(frozen=True, kw_only=True)
class Executor:
    """The devices and the four methods.

    num_shards: the number of equal shards of a batch.
    local_rows: `B -> slice`, the rows of a batch on devices of this process; all rows in a single process.
    layout: a state, or its shapes -> the sharding of each leaf (`jax.sharding.Sharding`).
    put_state, put_chunk, put_constant: place a state, a chunk [S, B, ...] (split over B), whole arrays for all steps.
    compile: `(step, state, chunk, *constants) -> call`, ahead of time for exactly these shapes: a call with other
        shapes is an error, never a silent recompilation. The call donates the state and returns the new one.
    lower: the step before compilation; accepts shapes (see `shapes`) as well as arrays, and devices that are only
        described (`fdl.parallel.targets`).
    grid: the mesh over which the compiler splits a batch, for layers that need it.
    chunk_sharding, constant_sharding: shardings of what they put; None under pmap, which splits a chunk by its shape.
    """

    name: str
    devices: tuple[jax.Device, ...]
    num_shards: int
    layout: Put
    put_state: Put
    put_chunk: Put
    put_constant: Put
    lower: Callable[..., Any]
    chunk_sharding: Sharding | None
    constant_sharding: Sharding | None
    grid: data_axis.Grid | None = None
    local_rows: Callable[[int], slice] = slice

    def __post_init__(self) -> None:
        refuse_debug_modes()

    def compile(self, step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Step:
        """Return the step compiled for these shapes and shardings."""
        with _without_compile_cache(self.devices):
            result: Step = self.lower(step, state, chunk, *constants).compile()
            return result

    def make_state(self, init: Callable[[], PyTree]) -> PyTree:
        """Return the state that `init` computes, each device computing and holding only its shards."""
        with _without_compile_cache(self.devices):
            return jax.jit(init, out_shardings=self.layout(jax.eval_shape(init)))()

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Choose kernels and split rows for these devices in what is traced inside."""
        with kernel_choice.compiling_for(self.devices[0]), data_axis.use_grid(self.grid):
            yield

    def shapes(self, state: PyTree, chunk: PyTree, *constants: PyTree) -> tuple[PyTree, ...]:
        """Return the shapes and shardings of a state, a chunk and constants, as arguments of `lower`."""

        def at(where: Sharding | None) -> Put:
            return lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)

        def split(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(
                (x.shape[0], self.num_shards, x.shape[1] // self.num_shards, *x.shape[2:]), x.dtype
            )

        if self.chunk_sharding is None:
            return at(None)(state), jax.tree.map(split, chunk), *map(at(None), constants)
        placed = jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), state, self.layout(state)
        )
        return placed, at(self.chunk_sharding)(chunk), *map(at(self.constant_sharding), constants)

    def bytes_per_device(self, state: PyTree) -> int:
        """Return the bytes per device of a state, or of its shapes."""
        local = jax.tree.map(
            lambda x, at: math.prod(at.shard_shape(x.shape)) * x.dtype.itemsize, state, self.layout(state)
        )
        return sum(jax.tree.leaves(local))


DEBUG_MODES = {  # of JAX, which run a function operation by operation; what fdl has in their place
    "jax_disable_jit": "--steps_per_call=1 and jax.debug.print show what is inside a step",
    "jax_debug_nans": "--nonfinite=stop names the step, the module and the rows",
    "jax_debug_infs": "--nonfinite=stop names the step, the module and the rows",
}


def refuse_debug_modes() -> None:
    """Raise a ValueError where JAX is set to debug in a way that programs compiled ahead of time cannot follow."""
    for name, instead in DEBUG_MODES.items():
        if getattr(jax.config, name):
            raise UserError(
                f"{name.upper()} is set, and steps are programs compiled ahead of time; unset it: {instead}"
            )


def _for_target(
    lower: Callable[..., Any], device: jax.Device, grid: data_axis.Grid | None = None
) -> Callable[..., Any]:
    """Wrap `lower` so that kernels are chosen for this device and layers know the grid.

    Each call wraps the step in a new function: JAX caches traces by function identity, and would reuse the kernel
    choices of an earlier trace for another device.
    """

    def lower_for_target(step: Step, *args: PyTree) -> Any:
        with kernel_choice.compiling_for(device), data_axis.use_grid(grid):
            return lower(functools.partial(step), *args)

    return lower_for_target


@contextlib.contextmanager
def _without_compile_cache(devices: Sequence[jax.Device]) -> Iterator[None]:
    """Compile without the persistent compilation cache where several CPU devices run one program.

    XLA:CPU orders the collectives of a program by a communicator resource that is lost when the program is serialised
    to the cache: a program loaded from it may deadlock, its devices entering the collectives in different orders.
    """
    used = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    if len(devices) == 1 or devices[0].platform != "cpu" or not used:
        yield
        return
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # JAX checks the setting only once per process, unless it is reset
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()


def fetch(tree: PyTree) -> PyTree:
    """Return the arrays of a tree as NumPy arrays, waiting for them; arrays of the CPU backend are not copied."""
    return jax.tree.map(np.asarray, tree) if jax.default_backend() == "cpu" else jax.device_get(tree)


def jit(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs on one device, the first."""
    device = (devices or jax.devices())[0]
    sharding = SingleDeviceSharding(device)

    def put(tree: PyTree) -> PyTree:
        return jax.device_put(tree, device)

    def lower(step: Step, *args: PyTree) -> Any:
        return jax.jit(step, donate_argnums=0).lower(*args)

    return Executor(
        name="jit",
        devices=(device,),
        num_shards=1,
        layout=lambda tree: jax.tree.map(lambda _: sharding, tree),
        put_state=put,
        # On the CPU a call takes NumPy arrays directly; an explicit device_put would cost three times as much.
        put_chunk=(lambda tree: tree) if device.platform == "cpu" else put,
        put_constant=put,
        lower=_for_target(lower, device),
        chunk_sharding=sharding,
        constant_sharding=sharding,
    )


def mesh(
    devices: Sequence[jax.Device] | None = None,
    shape: Mapping[str, int] | None = None,
    names: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
    *,
    batches: bool = True,
) -> Executor:
    """Make the executor whose program the compiler partitions over a device mesh (GSPMD).

    shape: axis -> number of devices; by default all along "data". The rows of a batch are split over "data" and "fsdp",
           parameters and optimizer states over "fsdp", and logical axes over "model" by `RULES`.
    names: parameter path -> logical axis names (see `fdl.models.partitioning`).
    batches: whether the rows of batches are split, so that layers may constrain them; False for a population's members.
    """
    devices = tuple(devices or jax.devices())
    shape = dict(shape or {DATA: len(devices)})
    grid = jax.make_mesh(tuple(shape.values()), tuple(shape), devices=devices, axis_types=(AxisType.Auto,) * len(shape))
    by_rows = tuple(axis for axis in (DATA, FSDP) if axis in shape)
    whole, rows = NamedSharding(grid, P()), NamedSharding(grid, P(None, by_rows))
    rows_grid = data_axis.Grid(grid, by_rows, MODEL if shape.get(MODEL, 1) > 1 else None) if batches else None

    def local_rows(size: int) -> slice:
        indices = rows.addressable_devices_indices_map((1, size)).values()
        local = [index[1].indices(size) for index in indices if index]
        return slice(min(start for start, _, _ in local), max(stop for _, stop, _ in local))

    def layout(state: PyTree) -> PyTree:
        def at(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
            return NamedSharding(grid, partition_spec(leaf.shape, logical_axes(path, names or {}), shape))

        return jax.tree_util.tree_map_with_path(at, state)

    def lower(step: Step, state: PyTree, *rest: PyTree) -> Any:
        shardings = jax.tree.map(lambda x: x.sharding, state)
        return jax.jit(step, donate_argnums=0, out_shardings=(shardings, whole)).lower(state, *rest)

    return Executor(
        name="mesh",
        devices=devices,
        num_shards=math.prod(shape[axis] for axis in by_rows),
        layout=layout,
        put_state=lambda state: put_global(state, layout(state)),
        put_chunk=lambda tree: put_global(tree, rows),
        put_constant=lambda tree: put_global(tree, whole),
        lower=_for_target(lower, devices[0], rows_grid),
        chunk_sharding=rows,
        constant_sharding=whole,
        grid=rows_grid,
        local_rows=local_rows,
    )


def members(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor of a population: members are split over devices, states [P, ...] and chunks [S, P, ...]."""
    shared = mesh(devices, batches=False)
    grid = jax.make_mesh((len(shared.devices),), (DATA,), devices=shared.devices, axis_types=(AxisType.Auto,))
    whole, by_member = NamedSharding(grid, P()), NamedSharding(grid, P(DATA))

    def layout(states: TrainState) -> PyTree:
        return jax.tree.map(lambda _: by_member, states)._replace(step=whole)

    return replace(shared, name="members", layout=layout, put_state=lambda states: put_global(states, layout(states)))


def pmap(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs the step per device on its local rows, with the data axis mapped (`jax.pmap`)."""
    devices = tuple(devices or jax.devices())

    def mapped(function: Callable[..., Any], in_axes: Any, out_axes: Any, **donate: Any) -> Any:
        return jax.pmap(function, axis_name=DATA, in_axes=in_axes, out_axes=out_axes, devices=devices, **donate)

    whole = NamedSharding(jax.make_mesh((len(devices),), (DATA,), devices=devices), P())

    # A pmapped identity replicates arrays once in the layout that later calls expect, so they are not broadcast again.
    replicate = mapped(lambda _, tree: tree, (0, None), None)

    def put(tree: PyTree) -> PyTree:
        return replicate(jax.numpy.arange(len(devices)), tree)

    def split(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(x.shape[0], len(devices), -1, *x.shape[2:]), tree)

    def lower(step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Any:
        axes = (None, 1, *(None for _ in constants))
        return mapped(step, axes, (None, None), donate_argnums=0).lower(state, chunk, *constants)

    return Executor(
        name="pmap",
        devices=devices,
        num_shards=len(devices),
        layout=lambda tree: jax.tree.map(lambda _: whole, tree),
        put_state=put,
        put_chunk=split,
        put_constant=put,
        lower=_for_target(lower, devices[0]),
        chunk_sharding=None,
        constant_sharding=None,
    )


EXECUTORS = {"jit": jit, "pmap": pmap, "mesh": mesh}
