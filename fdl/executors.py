"""Executors: where a step runs, and never what it computes.

Each gives the same four verbs for the same shapes: a state has no device dimension, a chunk is [S, B, ...] with B the
whole batch, and sums come back as totals of the whole batch. N devices share the B rows evenly.

Several processes are one executor over all their devices. Each calls the same verbs with the same values and places the
part that its own devices hold.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

from fdl import memory
from fdl.axis import DATA
from fdl.fault import OutOfMemory
from fdl.types import PyTree, Step, Sums, TrainState

Put = Callable[[PyTree], PyTree]

FSDP, MODEL = "fsdp", "model"
AXES = (DATA, FSDP, MODEL)
# Which logical dimensions of parameters the model axis splits: heads and hidden units never meet inside a layer.
RULES = {"heads": MODEL, "hidden": MODEL, "vocabulary": MODEL}
SMALL = 1024


@dataclass(frozen=True, kw_only=True)
class Executor:
    """The devices and the four verbs.

    shares: how many equal parts the rows of a batch are cut into.
    own_rows: `B -> slice`, the rows of a batch that devices of this process hold; all of them in one process.
    layout: a state, or its shapes -> where each leaf lies (`jax.sharding.Sharding`).
    put_state, put_chunk, put_constant: place a state, a chunk [S, B, ...] (split over B), whole arrays for all steps.
    compile: `(step, state, chunk, *constants) -> call` ahead of time, for exactly these shapes: a call with other
        shapes is an error, never a silent recompilation. The call donates the state and gives it back.
    """

    name: str
    devices: tuple[jax.Device, ...]
    shares: int
    layout: Put
    put_state: Put
    put_chunk: Put
    put_constant: Put
    lower: Callable[..., Any]
    own_rows: Callable[[int], slice] = slice

    def compile(self, step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Step:
        """Return the step compiled for these shapes and placements."""
        with _in_order(self.devices):
            return self.lower(step, state, chunk, *constants).compile()

    def make_state(self, init: Callable[[], PyTree]) -> PyTree:
        """Return the state that `init` computes, of which each device computes and holds only its own part."""
        with _in_order(self.devices):
            return jax.jit(init, out_shardings=self.layout(jax.eval_shape(init)))()

    def bytes_per_device(self, state: PyTree) -> int:
        """Return the bytes that a state, or its shapes, takes on each device."""
        held = jax.tree.map(
            lambda x, at: math.prod(at.shard_shape(x.shape)) * x.dtype.itemsize, state, self.layout(state)
        )
        return sum(jax.tree.leaves(held))


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


class Call:
    """A step bound to an executor and to the arrays it reads: `(state, chunk) -> (state, sums)`.

    Compiles once for each number of steps in a chunk, at the first such chunk. Anything else that changes shape is an
    error. compile_seconds adds up what that took, by `clock`.
    """

    def __init__(
        self, executor: Executor, step: Step, constants: PyTree = (), clock: Callable[[], float] = time.perf_counter
    ):
        self.executor, self.step, self.clock = executor, step, clock
        self.constants = executor.put_constant(constants)
        self.compiled: dict[int, Step] = {}
        self.shapes: dict[int, dict[str, str]] = {}
        self.compile_seconds = 0.0

    def __call__(self, state: TrainState, chunk: PyTree) -> tuple[TrainState, Sums]:
        """Return the state after the steps of the chunk, and their sums, each [S, ...]."""
        steps = len(jax.tree.leaves(chunk)[0])
        chunk = self.executor.put_chunk(chunk)
        if steps not in self.compiled:
            start = self.clock()
            self.shapes[steps] = shapes({"state": state, "chunk": chunk})
            self.compiled[steps] = self.executor.compile(self.step, state, chunk, *self.constants)
            self._check_memory(self.compiled[steps])
            self.compile_seconds += self.clock() - start
        try:
            return self.compiled[steps](state, chunk, *self.constants)
        except (TypeError, ValueError) as error:  # JAX's, of shapes and dtypes, and of shardings
            differing = changed(self.shapes[steps], shapes({"state": state, "chunk": chunk}))
            if not differing:
                raise
            raise ValueError(f"the program would have to be compiled again: {differing}") from error

    def _check_memory(self, compiled: Any) -> None:
        """Raise OutOfMemory where the program needs more than is free: on the CPU the kernel would end the process."""
        device = self.executor.devices[0]
        analysis = compiled.memory_analysis() if device.platform == "cpu" else None
        if analysis is None:
            return
        needed, free = len(self.executor.devices) * analysis.temp_size_in_bytes, memory.free(device)
        if needed > free:
            raise OutOfMemory(
                f"out of memory: the program needs {needed:,} bytes besides its state, and {free:,} are free; lower "
                "batch_size or evaluate_batch_size, raise accumulate, or choose a smaller model"
            )


def fetch(tree: PyTree) -> PyTree:
    """Return the arrays of a tree on the host, where they are finished; a CPU's lie there and are not copied."""
    return jax.tree.map(np.asarray, tree) if jax.default_backend() == "cpu" else jax.device_get(tree)


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which leaves are not of the shape, dtype and sharding that a program was compiled for."""
    differing = [
        f"{name} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    return "; ".join(differing[:3])


def shapes(tree: PyTree) -> dict[str, str]:
    """Return the shape and dtype of each leaf of a tree, and where it lies, by its path."""

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype.name}{list(leaf.shape)}{_place(leaf)}"
        for path, leaf in leaves
    }


def _place(leaf: Any) -> str:
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return ""
    devices = sorted(map(str, sharding.device_set))
    split = tuple(getattr(sharding, "spec", ()))
    while split and split[-1] is None:  # (None,) and () say the same
        split = split[:-1]
    return f" on {devices[0]}" + f" to {devices[-1]}" * (len(devices) > 1) + f", split {split}" * bool(split)


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
        lower=lower,
    )


def mesh(
    devices: Sequence[jax.Device] | None = None,
    shape: Mapping[str, int] | None = None,
    names: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
) -> Executor:
    """Make the executor that lets the compiler split one program over the devices.

    shape: axis -> devices along it; all along "data" if it is left out. The rows of a batch are split over "data" and
           "fsdp", parameters and optimizer over "fsdp", and over "model" what `RULES` say of logical names.
    names: path of a parameter -> the logical names of its dimensions (see `fdl.models.logical`).
    """
    devices = tuple(devices or jax.devices())
    shape = dict(shape or {DATA: len(devices)})
    grid = jax.make_mesh(tuple(shape.values()), tuple(shape), devices=devices, axis_types=(AxisType.Auto,) * len(shape))
    by_rows = tuple(axis for axis in (DATA, FSDP) if axis in shape)
    whole, rows = NamedSharding(grid, P()), NamedSharding(grid, P(None, by_rows))

    def own_rows(size: int) -> slice:
        indices = rows.addressable_devices_indices_map((1, size)).values()
        held = [index[1].indices(size) for index in indices if index]
        return slice(min(start for start, _, _ in held), max(stop for _, stop, _ in held))

    def layout(state: PyTree) -> PyTree:
        def at(path: tuple, leaf: Any) -> NamedSharding:
            return NamedSharding(grid, divide(leaf.shape, named(path, names or {}), shape))

        return jax.tree_util.tree_map_with_path(at, state)

    def lower(step: Step, state: PyTree, *rest: PyTree) -> Any:
        kept = jax.tree.map(lambda x: x.sharding, state)
        return jax.jit(step, donate_argnums=0, out_shardings=(kept, whole)).lower(state, *rest)

    return Executor(
        name="mesh",
        devices=devices,
        shares=math.prod(shape[axis] for axis in by_rows),
        layout=layout,
        put_state=lambda state: lay(state, layout(state)),
        put_chunk=lambda tree: lay(tree, rows),
        put_constant=lambda tree: lay(tree, whole),
        lower=lower,
        own_rows=own_rows,
    )


def named(path: tuple, names: Mapping[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return the logical names of a leaf of a state: those of the parameter whose path its own ends with.

    So the optimizer's moments and averages lie where their parameters do.
    """
    words = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
    return next((names[words[i:]] for i in range(len(words)) if words[i:] in names), ())


def divide(shape: Sequence[int], names: Sequence[str], axes: Mapping[str, int]) -> P:
    """Return how an array is split over the axes (name -> devices), given the logical names of its dimensions.

    A name goes to the axis `RULES` say, once for each array and if it divides. Then the longest dimension left that
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


def lay(tree: PyTree, where: PyTree) -> PyTree:
    """Place a tree by one sharding for all leaves or by a tree of them; each process places what its devices hold."""
    if jax.process_count() == 1:
        return jax.device_put(tree, where)
    return jax.tree.map(_lay, tree, jax.tree.map(lambda _: where, tree) if isinstance(where, NamedSharding) else where)


def _lay(leaf: Any, where: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_lay(jax.random.key_data(leaf), where))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where, lambda index: host[index])


def members(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor of a population: each device has members of its own, states [P, ...] and chunks [S, P, ...]."""
    shared = mesh(devices)
    grid = jax.make_mesh((len(shared.devices),), (DATA,), devices=shared.devices, axis_types=(AxisType.Auto,))
    whole, own = NamedSharding(grid, P()), NamedSharding(grid, P(DATA))

    def layout(states: TrainState) -> PyTree:
        return jax.tree.map(lambda _: own, states)._replace(step=whole)

    return replace(shared, name="members", layout=layout, put_state=lambda states: lay(states, layout(states)))


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
        lower=lower,
    )


EXECUTORS = {"jit": jit, "pmap": pmap, "mesh": mesh}
