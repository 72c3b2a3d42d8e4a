"""Training compiled for chips that are only described: whether it compiles, whether it fits, and what it holds.

Nothing runs and no parameter is allocated. Of data that is decoded on demand, only shapes are read.
"""

import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from fdl.core import steps
from fdl.core.types import PyTree, Rows
from fdl.data.dataset import LazySource, Source, take_columns
from fdl.engine.placement import make_executor
from fdl.engine.program import step_of, steps_per_call, work_of
from fdl.experiment import Experiment
from fdl.parallel.executors import Executor
from fdl.profiling import hlo


@dataclass(frozen=True)
class Footprint:
    """What one call of a compiled program holds on each device, in bytes, and does in each step.

    arguments: state, data and rows. outputs: of which `aliased` take the place of arguments (the donated state).
    flops, moved: operations and bytes as XLA counts them, the body of a loop once, without what is inside kernels.
    cycles: the TPU compiler's estimate, a lower bound: Pallas kernels, gathers, sorts and exchanges are not in it.
    """

    compile_seconds: float
    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    flops: float
    moved: float
    cycles: int
    collectives: dict[str, tuple[int, int]]
    custom_calls: list[str]
    wide_numbers: int
    largest: list[str]

    @property
    def total(self) -> int:
        """The bytes that must be free on each device."""
        return self.arguments + self.outputs - self.aliased + self.temporaries + self.code

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class Lowered:
    """A program before it is compiled. digest: of its text; two programs of one digest compile to the same."""

    executor: Executor
    program: Any
    digest: str
    state_bytes: int
    resident: list[tuple[int, ...]]
    steps_per_call: int
    feed: str

    def compile(self) -> tuple[Footprint, str]:
        """Return what the program holds and does, and the text that the compiler made."""
        begun = time.perf_counter()
        compiled = self.program.compile()
        seconds, text = time.perf_counter() - begun, compiled.as_text()
        held, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
        cost = cost[0] if isinstance(cost, list) else cost
        found = hlo.operations(text)
        footprint = Footprint(
            compile_seconds=round(seconds, 1),
            arguments=held.argument_size_in_bytes,
            outputs=held.output_size_in_bytes,
            aliased=held.alias_size_in_bytes,
            temporaries=held.temp_size_in_bytes,
            code=held.generated_code_size_in_bytes,
            flops=float(cost.get("flops", 0.0)),
            moved=float(cost.get("bytes accessed", 0.0)),
            cycles=sum(operation.cycles for operation in found),
            collectives=hlo.collectives(found),
            custom_calls=sorted(hlo.custom_calls(text)),
            wide_numbers=hlo.wide_numbers(found),
            largest=[f"{one.nbytes / 2**20:,.0f} MiB {hlo.shape_of(one)}" for one in hlo.largest(found)],
        )
        return footprint, text


def lower(experiment: Experiment, devices: Sequence[Any], memory: int, *, evaluation: bool = False) -> Lowered:
    """Return the training program of an experiment, or the one of its evaluation, for some described devices.

    memory: bytes of one device, of which data that stays there may take a quarter.
    """
    executor = make_executor(experiment, devices)
    step = step_of(experiment)
    if evaluation:
        step = steps.prepare(steps.eval_step(experiment.model, experiment.task), experiment.dataset.transform)
    count = 1 if evaluation else experiment.steps_per_call or steps_per_call(experiment, executor, work_of(experiment))
    source = experiment.dataset.load("train")
    feed = experiment.feed
    if feed == "auto":
        feed = "resident" if source.nbytes <= memory // 4 else "streamed"
    chunk: PyTree
    constants: tuple[PyTree, ...] = ()
    if feed == "resident":
        take, arrays = _flat(experiment, source)
        of = functools.partial(jax.ShapeDtypeStruct, (count, experiment.batch_size))
        chunk = jax.tree.map(of, Rows(np.int32, np.float32))  # type: ignore[arg-type]
        step, constants = steps.take_rows(step, take), (arrays,)
    else:
        raw = experiment.dataset.raw_shapes(experiment.batch_size)
        chunk = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), raw)
    state = experiment.abstract()
    program = executor.lower(steps.fuse(step), *executor.shapes(state, chunk, *constants))
    return Lowered(
        executor=executor,
        program=program,
        digest=hashlib.sha256(f"{jax.__version__} {program.as_text()}".encode()).hexdigest()[:16],
        state_bytes=executor.bytes_per_device((state.params, state.opt_state, state.model_state)),
        resident=[leaf.shape for leaf in jax.tree.leaves(constants)],
        steps_per_call=count,
        feed=feed,
    )


def _flat(experiment: Experiment, source: Source | LazySource) -> tuple[Any, PyTree]:
    """Return how rows are taken from a source's flattened arrays, and the shapes of these."""
    if isinstance(source, Source):
        whole, arrays = source, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), source.arrays)
    else:  # as columns, which is what nearly all decoded data is
        inputs, targets, weights = experiment.dataset.raw_shapes(len(source))
        arrays = (inputs, targets, weights) if experiment.dataset.spec.weights else (inputs, targets)
        whole = Source(arrays=arrays, size=len(source), take=take_columns)
    takes = []

    def flatten(arrays: PyTree) -> PyTree:
        flat = Source(arrays=arrays, size=whole.size, take=whole.take).flat()
        takes.append(flat.take)
        return flat.arrays

    shapes = jax.eval_shape(flatten, arrays)
    return takes[0], shapes
