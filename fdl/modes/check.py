"""Check an experiment in seconds: one real batch through everything, and whether the model can learn it by heart.

Shape legend: B batch.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim
from fdl.core import optimizer_state, steps
from fdl.core.errors import Fault
from fdl.core.log import Log, logger
from fdl.core.types import Array, Batch, PyTree, Sums, TrainState
from fdl.engine import loader
from fdl.engine.placement import initial_state, prepare
from fdl.engine.program import step_of
from fdl.experiment import Experiment
from fdl.modes import nonfinite
from fdl.parallel.devices import describe

BOUND = 0.7  # of the first loss: what a model that can learn at all gets below on one batch
ENOUGH = 0.25  # of the first loss, where the try ends
RATES, UPDATES, SECONDS = (1e-3, 1e-2), 300, 20.0  # of each try to learn one batch by heart, compiling left out
LEAST = 30  # updates of a try, however slow they are: a slow machine is no mistake of the model


def check(
    experiment: Experiment, *, log: Log | None = print, clock: Callable[[], float] = time.perf_counter
) -> list[str]:
    """Run one batch of every split through the experiment, overfit the first, and return what is wrong, one line each.

    A training step, an evaluation and a prediction must give finite numbers; every parameter that is not frozen must
    get a gradient; and the loss on one batch must fall below 0.7 of what it is at first, by AdamW in place of the
    experiment's optimizer, whose schedule is made for a whole run. Logs each step of it and raises a Fault where
    anything is wrong. Nothing is written.
    """
    log, begun = logger(log), clock()
    executor = prepare(experiment, trains=True)
    log(f"{experiment.name}: one batch of {experiment.batch_size} examples on {describe(executor.devices)}")
    for note in experiment.dataset.notes:
        log(note)
    batch = first_batch(experiment, "train")
    for line in summaries(batch):
        log(line)

    # One step of everything that a run does, on the device that it would use.
    state = initial_state(experiment, executor)
    wrong = list(through_everything(experiment, jax.device_get(state)))
    if not wrong:
        first, last, updates, idle = overfit(experiment, batch, clock)
        total = len(jax.tree.leaves(state.params))
        log(f"gradients: {total - len(idle)} of {total} parameter arrays get one")
        log(f"overfit one batch: loss {first:.4g} -> {last:.4g} in {updates} updates (bound {BOUND * first:.4g})")
        if idle:
            wrong.append(
                f"no gradient reaches {', '.join(idle)}; use them in the outputs, or freeze them with --freeze"
            )
        if not last < BOUND * first:
            wrong.append(
                f"the model cannot learn one batch by heart: its loss went from {first:.4g} to {last:.4g} only; see "
                "that inputs and targets belong together, and that the task is that of these targets"
            )
    for line in wrong:
        log(f"wrong: {line}")
    log(f"{'all is well' if not wrong else f'{len(wrong)} wrong'}: {clock() - begun:.1f} s")
    if wrong:
        raise Fault(wrong[0] if len(wrong) == 1 else f"{wrong[0]}; and {len(wrong) - 1} more above")
    return wrong


def first_batch(experiment: Experiment, split: str) -> Batch:
    """Return the batch that training begins with, or the first rows of another split, as NumPy arrays."""
    source, size = experiment.dataset.load(split), experiment.batch_size
    if split == "train":
        rows = loader.training_rows(experiment.seed, 0, 1, batch_size=size, size=len(source))
        return source.fetch(np.asarray(rows.indices[0]))
    return source.fetch(np.arange(min(size, len(source))))


def summaries(batch: Batch) -> Iterator[str]:
    """Yield what the inputs and targets of a batch are: shape, range, and how many values differ."""
    for part, tree in (("inputs", batch.inputs), ("targets", batch.targets)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            name = "/".join([part, *(str(getattr(key, "key", key)) for key in path)])
            array = np.asarray(leaf)
            text = f"{name} {array.dtype.name}{list(array.shape)}: {array.min():.4g} to {array.max():.4g}"
            integral = np.issubdtype(array.dtype, np.integer)
            yield f"{text}, {len(np.unique(array))} different" if integral else f"{text}, mean {array.mean():.4g}"


def through_everything(experiment: Experiment, state: TrainState) -> Iterator[str]:
    """Yield what is not finite in a training step on one batch, or in an evaluation or prediction of the others."""
    model, task, transform = experiment.model, experiment.task, experiment.dataset.transform
    batch = first_batch(experiment, "train")
    new, sums = jax.jit(step_of(experiment))(state, batch)
    if not bool(steps.all_finite(new, sums)):
        what, module = nonfinite.where(experiment, state, batch)
        yield f"in the first training step {what} not finite{f', first in module {module}' if module else ''}"
        return
    evaluate = jax.jit(steps.prepare(steps.eval_step(model, task), transform))
    predict = jax.jit(steps.prepare(steps.predict_step(model, task), transform))
    for split in ("validation", "test"):
        batch = first_batch(experiment, split)
        metrics = task.finish(jax.device_get(evaluate(state, batch)[1]))
        if not np.isfinite(metrics["loss"]):
            yield f"the loss of the first {split} batch is {metrics['loss']}"
        if not nonfinite.finite(predict(state, batch)[1]):
            yield f"a prediction of the first {split} batch is not finite"


def overfit(
    experiment: Experiment, batch: Batch, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float, int, list[str]]:
    """Train on one batch alone, without augmentation; return the first and the last loss, the updates and what is idle.

    idle: the paths of parameters that are not frozen and got a gradient of zeros in every update.
    """
    first, last, count = float("nan"), float("inf"), 0
    moved: PyTree = None
    for rate in RATES:
        begun = 0.0
        for i, (loss, touched) in enumerate(islice(updates(experiment, batch, rate), UPDATES)):
            begun = begun if i else clock()  # the first one is compiled
            first, last, count = loss if np.isnan(first) else first, loss, count + 1
            moved = touched if moved is None else jax.tree.map(np.logical_or, moved, touched)
            if last < ENOUGH * first or (i >= LEAST and clock() - begun > SECONDS):
                break
        if last < BOUND * first:
            break
    frozen = tuple(f"{path}/" for path in optimizer_state.frozen(experiment.abstract().opt_state))
    flags = jax.tree_util.tree_flatten_with_path(moved)[0]
    paths = [(jax.tree_util.keystr(path, simple=True, separator="/"), got) for path, got in flags]
    return first, last, count, [path for path, got in paths if not got and not path.startswith(frozen or ("\0",))]


def updates(experiment: Experiment, batch: Batch, rate: float) -> Iterator[tuple[float, PyTree]]:
    """Yield the loss of a batch before each update by AdamW, and of which parameters the gradient is not all zeros."""
    adam = optim.adamw(rate)
    opt_state = experiment.abstract().opt_state
    if frozen := optimizer_state.frozen(opt_state):
        adam = optim.frozen(adam, frozen)
    if optimizer_state.loss_scale(opt_state) is not None:
        adam = optimizer_state.dynamic_loss_scale(adam)
    gradient = steps.accumulate(steps.total_gradient(experiment.model, experiment.task), experiment.accumulate)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, tuple[Array, PyTree]]:
        touched: list[PyTree] = []

        def watched(state: TrainState, batch: Batch) -> tuple[PyTree, PyTree, Sums]:
            grads, model_state, sums = gradient(state, batch)
            touched.append(jax.tree.map(lambda g: jnp.any(g != 0), grads))
            return grads, model_state, sums

        state, sums = steps.train_step(watched, adam)(state, batch)
        return state, (sums["loss"].total / sums["loss"].weight, touched[0])

    step_on: Any = jax.jit(steps.prepare(step, experiment.dataset.transform))  # type: ignore[arg-type]
    fresh = replace(experiment, optimizer=adam)
    state = fresh.init()
    while True:
        state, (loss, touched) = step_on(state, batch)
        yield float(loss), jax.device_get(touched)
