"""Executors: where a step runs, and never what it computes.

Each gives the same four verbs for the same shapes: a state has no device dimension, a chunk is [S, B, ...] with B the
whole batch, and sums come back as totals of the whole batch. N devices share the B rows evenly.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from fdl.axis import DATA
from fdl.types import PyTree, Step, Sums, TrainState

Put = Callable[[PyTree], PyTree]


@dataclass(frozen=True, kw_only=True)
class Executor:
    """The devices and the four verbs.

    put_state, put_chunk, put_constant: place a state, a chunk [S, B, ...] (split over B), whole arrays for all steps.
    compile: `(step, state, chunk, *constants) -> call` ahead of time, for exactly these shapes: a call with other
        shapes is an error, never a silent recompilation. The call donates the state and gives it back.
    """

    name: str
    devices: tuple[jax.Device, ...]
    put_state: Put
    put_chunk: Put
    put_constant: Put
    lower: Callable[..., Any]

    def compile(self, step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Step:
        """Return the step compiled for these shapes and placements."""
        return self.lower(step, state, chunk, *constants).compile()


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
        self.compile_seconds = 0.0

    def __call__(self, state: TrainState, chunk: PyTree) -> tuple[TrainState, Sums]:
        """Return the state after the steps of the chunk, and their sums, each [S, ...]."""
        steps = len(jax.tree.leaves(chunk)[0])
        chunk = self.executor.put_chunk(chunk)
        if steps not in self.compiled:
            start = self.clock()
            self.compiled[steps] = self.executor.compile(self.step, state, chunk, *self.constants)
            self.compile_seconds += self.clock() - start
        return self.compiled[steps](state, chunk, *self.constants)


def jit(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs on one device, the first."""
    device = (devices or jax.devices())[0]

    def put(tree: PyTree) -> PyTree:
        return jax.device_put(tree, device)

    def lower(step: Step, *args: PyTree) -> Any:
        return jax.jit(step, donate_argnums=0).lower(*args)

    return Executor(name="jit", devices=(device,), put_state=put, put_chunk=put, put_constant=put, lower=lower)


def mesh(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that lets the compiler split one program over the devices: the batch over the data axis."""
    devices = tuple(devices or jax.devices())
    grid = jax.make_mesh((len(devices),), (DATA,), devices=devices, axis_types=(AxisType.Auto,))
    whole, rows = NamedSharding(grid, P()), NamedSharding(grid, P(None, DATA))

    def put(tree: PyTree) -> PyTree:
        return jax.device_put(tree, whole)

    def lower(step: Step, state: PyTree, *rest: PyTree) -> Any:
        kept = jax.tree.map(lambda x: x.sharding, state)
        return jax.jit(step, donate_argnums=0, out_shardings=(kept, whole)).lower(state, *rest)

    return Executor(
        name="mesh",
        devices=devices,
        put_state=put,
        put_chunk=lambda tree: jax.device_put(tree, rows),
        put_constant=put,
        lower=lower,
    )


def members(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor of a population: each device has members of its own, states [P, ...] and chunks [S, P, ...]."""
    shared = mesh(devices)
    grid = jax.make_mesh((len(shared.devices),), (DATA,), devices=shared.devices, axis_types=(AxisType.Auto,))
    own = NamedSharding(grid, P(DATA))
    placed = TrainState(NamedSharding(grid, P()), own, own, own, own)  # type: ignore[arg-type]
    return replace(shared, name="members", put_state=lambda state: jax.device_put(state, placed))


def pmap(devices: Sequence[jax.Device] | None = None) -> Executor:
    """Make the executor that runs the step on each device's own rows, joined by the mapped data axis."""
    devices = tuple(devices or jax.devices())

    def mapped(function: Callable[..., Any], in_axes: Any, out_axes: Any, **donate: Any) -> Any:
        return jax.pmap(function, axis_name=DATA, in_axes=in_axes, out_axes=out_axes, devices=devices, **donate)

    # An identity map leaves arrays placed as every later call wants them: nothing is broadcast twice.
    place = mapped(lambda _, tree: tree, (0, None), None)

    def put(tree: PyTree) -> PyTree:
        return place(jax.numpy.arange(len(devices)), tree)

    def split(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x.reshape(x.shape[0], len(devices), -1, *x.shape[2:]), tree)

    def lower(step: Step, state: PyTree, chunk: PyTree, *constants: PyTree) -> Any:
        axes = (None, 1, *(None for _ in constants))
        return mapped(step, axes, (None, None), donate_argnums=0).lower(state, chunk, *constants)

    return Executor(name="pmap", devices=devices, put_state=put, put_chunk=split, put_constant=put, lower=lower)


EXECUTORS = {"jit": jit, "pmap": pmap, "mesh": mesh}
