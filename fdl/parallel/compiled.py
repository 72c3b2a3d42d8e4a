"""A compiled call: a step compiled ahead of time for its exact shapes, dtypes and shardings."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from fdl.core.differences import differences, first_few
from fdl.core.errors import OutOfMemory, UserError
from fdl.core.types import PyTree, Step, Sums, TrainState
from fdl.parallel import memory
from fdl.parallel.executors import Executor


class Call:
    """A step bound to an executor and its constants: `(state, chunk) -> (state, sums)`.

    Compiles once per number of steps in a chunk, at the first such chunk. Any other change of shapes, dtypes or
    shardings is an error. compile_seconds is the total compile time, by `clock`.
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
        except (TypeError, ValueError) as error:  # raised by JAX for other shapes, dtypes or shardings
            differing = changed(self.shapes[steps], shapes({"state": state, "chunk": chunk}))
            if not differing:
                raise
            raise UserError(f"the program would have to be recompiled: {differing}") from error

    def _check_memory(self, compiled: Any) -> None:
        """Raise OutOfMemory if the program needs more than is free: on the CPU the kernel would kill the process."""
        device = self.executor.devices[0]
        analysis = compiled.memory_analysis() if device.platform == "cpu" else None
        if analysis is None:
            return
        needed, free = len(self.executor.devices) * analysis.temp_size_in_bytes, memory.free(device)
        if needed > free:
            raise OutOfMemory(
                f"out of memory: the program needs {needed:,} bytes besides its state, but {free:,} are free; "
                "lower --batch_size or --evaluate_batch_size, raise --accumulate, or choose a smaller model"
            )


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which leaves differ in shape, dtype or sharding from what the program was compiled for."""
    return first_few(differences(before, now))


def shapes(tree: PyTree) -> dict[str, str]:
    """Return the shape, dtype and sharding of each leaf of a tree, by path."""

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype.name}{list(leaf.shape)}{_sharding(leaf)}"
        for path, leaf in leaves
    }


def _sharding(leaf: Any) -> str:
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return ""
    devices = sorted(map(str, sharding.device_set))
    split = tuple(getattr(sharding, "spec", ()))
    while split and split[-1] is None:  # (None,) and () are equivalent
        split = split[:-1]
    return f" on {devices[0]}" + f" to {devices[-1]}" * (len(devices) > 1) + f", split {split}" * bool(split)
