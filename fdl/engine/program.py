"""The program of an experiment: its steps bound to an executor and to the data of a split.

The feed and the number of steps per call are chosen here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl import optim
from fdl.core import steps
from fdl.core.integers import ceil_div, round_up
from fdl.core.kernel_choice import custom, without_native
from fdl.core.types import Batch, Rows, Step, Sum, Sums, TrainState, Unreduced, add_up
from fdl.data import LazySource, Source
from fdl.data.validate import check_source, check_values, rule_of
from fdl.engine import loader
from fdl.engine.cadence import Cadence
from fdl.engine.checks import evaluate_batch_size
from fdl.experiment import Experiment
from fdl.parallel import processes
from fdl.parallel.compiled import Call
from fdl.parallel.executors import Executor, fetch
from fdl.profiling import flops

STEPS_PER_CALL = 100
ROWS_AT_ONCE = 64  # steps whose row indices are computed together
CALL_WORK = {"cpu": 1e10, "accelerator": 1e12}  # maximum FLOPs per call


@dataclass(frozen=True)
class Training:
    """The training program: `call(state, rows(step, count)) -> (state, sums)`.

    rows: the inputs of a call: row indices with the resident feed, batches with the streamed one.
    feed: which of the two, and why. work: what a step computes, None where it was not looked at.
    native: whether it calls native kernels, whose bits are others.
    """

    call: Call
    rows: Callable[[int, int], Rows | Batch]
    steps_per_call: int
    feed: str
    work: flops.Work | None = None
    native: bool = False


def step_of(experiment: Experiment) -> Step:
    """Return the pure training step of an experiment, independent of devices."""
    gradient = steps.accumulate(steps.total_gradient(experiment.model, experiment.task), experiment.accumulate)
    data, optimizer = experiment.dataset, experiment.optimizer
    step = steps.train_step(gradient, optimizer, norm=optim.clips(optimizer))
    if experiment.nonfinite == "skip":
        step = steps.skip_nonfinite(step)
    return steps.prepare(step, data.transform, data.augment)


def training(experiment: Experiment, executor: Executor) -> Training:
    """Make the training program for the executor and the training split."""
    source = experiment.dataset.load("train")

    def rows(step: int, count: int) -> Rows:
        return loader.training_rows(experiment.seed, step, count, batch_size=experiment.batch_size, size=len(source))

    work = work_of(experiment, executor)
    count = experiment.steps_per_call or steps_per_call(experiment, executor, work)
    blocks = loader.in_blocks(rows, min(round_up(ROWS_AT_ONCE, count), experiment.steps))
    call, send, chosen = compile_step(
        experiment, executor, step_of(experiment), "train", source, blocks, experiment.steps
    )
    return Training(call, send, count, chosen, work, native="ffi_call" in work.primitives)


def compile_step(
    experiment: Experiment,
    executor: Executor,
    step: Step,
    split: str,
    source: Source | LazySource,
    rows: Callable[[int, int], Rows],
    end: int,
) -> tuple[Call, Callable[[int, int], Rows | Batch], str]:
    """Return a step's call, the function that makes its inputs, and the feed with its reason."""
    chosen, why = processes.on_first_process(lambda: loader.choose_feed(experiment.feed, source, executor.devices[0]))
    spec, name = experiment.dataset.spec, experiment.dataset.name
    rule = rule_of(experiment.task, experiment.dataset)
    if chosen == "streamed":

        def validate(batch: Batch, indices: np.ndarray) -> None:
            check_values(batch, spec, name, split, indices, rule)

        check_source(source, spec, name, split, rule)
        return (
            Call(executor, steps.fuse(step)),
            loader.Stream(source, rows, end, validate, executor.local_rows),
            f"{chosen}: {why}",
        )
    resident = source.resident()
    check_source(resident, spec, name, split, rule)
    resident = resident.flat()
    return (
        Call(executor, steps.fuse(steps.take_rows(step, resident.take)), (resident.arrays,)),
        rows,
        f"{chosen}: {why}",
    )


def work_of(experiment: Experiment, executor: Executor | None = None) -> flops.Work:
    """Return what one training step computes, as traced for the executor, or without native kernels."""
    batch = experiment.dataset.raw_shapes(experiment.batch_size)
    with executor.tracing() if executor else without_native():
        return flops.survey(step_of(experiment), experiment.abstract(), batch)


def steps_per_call(experiment: Experiment, executor: Executor, work: flops.Work) -> int:
    """Choose the number of steps per call, so that the dispatch overhead is negligible.

    A call costs some 0.2 ms. On two CPU cores CALL_WORK is about a tenth of a second; heavier steps are one per call,
    which also avoids a loop. The number divides `log_every`, so that no remainder needs another compilation.
    work: the result of `work_of`.
    """
    platform = executor.devices[0].platform
    if platform == "cpu" and not custom("convolution") and "conv_general_dilated" in work.primitives:
        return 1  # JAX's backward convolutions are twenty times slower inside a loop
    most = CALL_WORK["cpu" if platform == "cpu" else "accelerator"] / max(1, work.flops)
    log_every = experiment.log_every
    return max(n for n in range(1, min(log_every, STEPS_PER_CALL) + 1) if log_every % n == 0 and (n == 1 or n <= most))


def train_until_due(
    call: Callable[[TrainState, Any], tuple[TrainState, Sums]],
    rows: Callable[[int, int], Rows | Batch],
    state: TrainState,
    step: int,
    due: Cadence,
    advance: Callable[[int], Any],
    stop: Callable[[], bool],
) -> tuple[TrainState, int, list[Sums]]:
    """Train until something is due; return the state, its step and the sums of the calls, with nothing in flight.

    A stop request ends it after the current call. Exactly one call is dispatched ahead: the device does not idle, and
    the queue does not grow.
    """
    sent: list[Sums] = []
    while True:
        count = due.call(step)
        state, sums = call(state, rows(step, count))
        if sent:
            jax.block_until_ready(sent[-1])
        sent.append(sums)
        step += count
        advance(count)
        if due.any(step) or stop():
            return state, step, fetch(sent)


def add_up_calls(call: Call, state: TrainState, chunks: Iterable[Any]) -> tuple[TrainState, dict[str, Sum | Unreduced]]:
    """Return the last state and the sums of all calls of one step; each is added at once, so that none is kept."""

    def sums() -> Iterator[Sums]:
        nonlocal state
        for after, more in each_call(call, state, chunks):
            state = after
            yield more

    added = add_up(sums())
    return state, added


def each_call(call: Call, state: TrainState, chunks: Iterable[Any]) -> Iterator[tuple[TrainState, Any]]:
    """Yield the state and what a call of one step returned, on the host, for each of the chunks [1, ...] in turn."""
    for chunk in chunks:
        state, returned = call(state, chunk)
        yield state, fetch(returned)


class Answered(NamedTuple):
    """What a step gave for one batch of a split; rows that only fill the batch are left out.

    state: to go on with. rows: i64[B] of the split. batch: as the source gives it. found: arrays [B, ...] by name.
    """

    state: TrainState
    rows: np.ndarray
    batch: Batch
    found: dict[str, np.ndarray]


def each_batch(
    experiment: Experiment,
    executor: Executor,
    step: Step | Call,
    split: str,
    state: TrainState,
    *,
    size: int,
    count: int,
) -> Iterator[Answered]:
    """Yield for each batch of a split, in order, what a step that returns arrays [B, ...] instead of sums gives.

    step: itself, or what `answering` made of it, which is compiled once for all times it is used here.
    size: the rows of a batch, at most. count: so many rows are sent, the first of the split.
    """
    source = experiment.dataset.load(split)
    all_rows = loader.evaluation_rows(batch_size=round_up(min(size, count), executor.num_shards), size=count)
    batches, sent = tee(map(source.fetch, all_rows.indices))
    chunks = (jax.tree.map(lambda x: np.asarray(x)[None], batch) for batch in sent)
    call = step if isinstance(step, Call) else answering(experiment, executor, step)
    called = each_call(call, state, chunks)
    for indices, weights, batch, (after, found) in zip(*all_rows, batches, called, strict=True):
        real = np.flatnonzero(weights)
        there = {name: np.asarray(column[0])[real] for name, column in found.items()}
        yield Answered(after, indices[real], jax.tree.map(lambda x, real=real: np.asarray(x)[real], batch), there)


def answering(experiment: Experiment, executor: Executor, step: Step) -> Call:
    """Return the call of a step that returns arrays [B, ...] instead of sums, for `each_batch`."""
    return Call(executor, steps.fuse(steps.prepare(step, experiment.dataset.transform)))


class Evaluation:
    """The evaluation of one split: every example counts exactly once, for any number of devices."""

    def __init__(self, experiment: Experiment, executor: Executor, split: str):
        self.task, self.split = experiment.task, split
        source = experiment.dataset.load(split)
        step = steps.prepare(steps.eval_step(experiment.model, experiment.task), experiment.dataset.transform)
        batch_size = min(
            evaluate_batch_size(experiment, executor.num_shards), round_up(len(source), executor.num_shards)
        )
        self.calls = ceil_div(len(source), batch_size)

        def rows(step: int, count: int) -> Rows:
            return loader.evaluation_rows(batch_size=batch_size, size=len(source), first=step, count=count)

        self.call, self.rows, _ = compile_step(experiment, executor, step, split, source, rows, self.calls)

    def __call__(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Return the state and the metrics of the split, including `n`."""
        state, added = add_up_calls(self.call, state, (self.rows(index, 1) for index in range(self.calls)))
        return state, {**self.task.finish(added, self.split), "n": round(float(added["n"].total))}
