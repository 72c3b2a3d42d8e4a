"""Experiments: the value that names everything a run is a function of, and the check that its parts fit together."""

import hashlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from fdl import executors, folder, memory, pages, processes, steps
from fdl.accelerator import Accelerator, find
from fdl.data import Dataset
from fdl.fault import OutOfMemory
from fdl.models import logical
from fdl.pictures import Show
from fdl.types import Batch, PyTree, Task, TrainState


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is computed (the first block), and where and how often it is looked at (the second).

    batch_size:     examples per step over all devices. steps: updates in all. seed: of everything random.
    accumulate:     micro-batches per step, for batches that do not fit.
    start:          from the variables that were drawn, those to begin with: published weights (`fdl.weights`).
    executor:       "auto" is jit on one device and mesh on several.
    mesh:           axis ("data", "fsdp", "model") -> devices along it; empty is all along "data".
    steps_per_call: steps that run as one program; None lets the framework choose by model and backend.
    log_every, evaluate_every, save_every: in steps. evaluate_every None is about ten times a run, 0 only at the end;
        save_every None is whenever it evaluates.
    nonfinite:      a loss or update that is not finite stops the run and is traced to its module, or is skipped.
    show:           draws some examples of the test split into the report (`fdl.pictures`).
    name, knobs, code: set by `load`: which page made it, with which values, and the digest of what the page says.
    """

    model: nn.Module
    dataset: Dataset
    task: Task
    optimizer: optax.GradientTransformation
    batch_size: int
    steps: int
    seed: int = 0
    accumulate: int = 1
    start: Callable[[PyTree], PyTree] | None = None

    accelerator: Accelerator = "any"
    executor: Literal["auto", "jit", "pmap", "mesh"] = "auto"
    mesh: Mapping[str, int] = field(default_factory=dict)
    feed: Literal["auto", "resident", "streamed"] = "auto"
    steps_per_call: int | None = None
    evaluate_batch_size: int | None = None
    log_every: int = 50
    evaluate_every: int | None = None
    save_every: int | None = None
    nonfinite: Literal["stop", "skip"] = "stop"
    show: Show | None = None

    name: str = "experiment"
    knobs: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""

    def epochs(self, step: int) -> float:
        """Return how many times every training example has been seen after `step` steps."""
        return step * self.batch_size / self.dataset.spec.sizes["train"]

    def identity(self) -> dict[str, Any]:
        """Return what a run folder belongs to: two experiments that differ in any of it do not share one.

        Files that have changed show in the number of their examples, in what was fitted on them, or in their sizes.
        """
        fixed = {
            "experiment": self.name,
            "dataset": self.dataset.name,
            "examples": dict(self.dataset.spec.sizes),
            "fitted": hashlib.sha256(json.dumps(dict(self.dataset.fitted), sort_keys=True).encode()).hexdigest()[:12],
            "files": self.dataset.contents(),
            "task": self.task.name,
            "batch_size": self.batch_size,
            "steps": self.steps,
            "seed": self.seed,
            "accumulate": self.accumulate,
            folder.CODE: self.code,
        }
        return {**fixed, **self.knobs}

    def example(self, batch_size: int = 1) -> Batch:
        """Return a batch of zeros in the shapes that the model sees."""
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.dataset.shapes(batch_size))

    def init(self) -> TrainState:
        """Return the state at step 0."""
        state = jax.jit(lambda: steps.init(self.model, self.optimizer, self.example(), self.seed))()
        if self.start is None:
            return state
        extras = jax.tree.map(jnp.asarray, dict(self.start({"params": state.params, **state.extras})))
        params = extras.pop("params")
        return state._replace(params=params, opt_state=jax.jit(self.optimizer.init)(params), extras=extras)

    def abstract(self) -> TrainState:
        """Return the shapes of the state at step 0; nothing is allocated."""
        return self._abstract

    @cached_property  # a deep model takes seconds to trace, and its shapes are asked for several times
    def _abstract(self) -> TrainState:
        return jax.eval_shape(lambda: steps.init(self.model, self.optimizer, self.example(), self.seed))


def load(name: str, **knobs: Any) -> Experiment:
    """Make the experiment of a page, by its name or the path of its file, with some knobs set."""
    return maker(name)(**knobs)


def maker(name: str) -> Callable[..., Experiment]:
    """Return the function of a page, `(**knobs) -> Experiment`: pure, so that a numeric knob may be a traced array."""
    page = pages.read(name)
    spec = importlib.util.spec_from_file_location(f"experiments.{page.name}", page.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that what the page defines can be pickled by data workers
    spec.loader.exec_module(module)

    def make(**knobs: Any) -> Experiment:
        values = page.complete(knobs)
        made = module.experiment(**values)
        if not isinstance(made, Experiment):
            raise ValueError(f"{page.path}: experiment() gives {made!r}; return an Experiment")
        return replace(made, name=page.name, knobs=values, code=page.code)

    return make


def place(experiment: Experiment) -> executors.Executor:
    """Make the executor an experiment asks for, on the accelerator it asks for."""
    devices, name, shape = find(experiment.accelerator), experiment.executor, experiment.mesh
    if name == "auto":
        name = "jit" if len(devices) == 1 and not shape else "mesh"
    if name not in executors.EXECUTORS:
        raise ValueError(f"executor {name!r} is not one of auto, {', '.join(executors.EXECUTORS)}")
    if processes.count() > 1 and name != "mesh":
        raise ValueError(f"executor {name} runs in one process and there are {processes.count()}; choose mesh")
    if not shape:
        return executors.EXECUTORS[name](devices)
    written = ",".join(f"{axis}:{size}" for axis, size in shape.items())
    if name != "mesh":
        raise ValueError(f"mesh {written} needs executor mesh, not {name}; leave out one of them")
    for axis in shape:
        if axis not in executors.AXES:
            raise ValueError(f"mesh axis {axis!r} is not one of {', '.join(executors.AXES)}")
    if math.prod(shape.values()) != len(devices):
        raise ValueError(
            f"mesh {written} takes {math.prod(shape.values())} devices and there are {len(devices)}; "
            f"make the product of its axes {len(devices)}"
        )
    positional, by_name = steps.arguments(experiment.model, experiment.example())
    return executors.mesh(devices, shape, logical.names(experiment.model, *positional, **by_name, train=False))


def first_state(experiment: Experiment, executor: executors.Executor) -> TrainState:
    """Return the placed state at step 0; where it is split over devices, none of them ever holds the whole."""
    if experiment.mesh and experiment.start is None:
        return executor.make_state(experiment.init)
    return executor.put_state(experiment.init())


def check(experiment: Experiment, shares: int) -> PyTree:
    """Return the shapes of the model's outputs; raise a ValueError in one line where the parts do not fit together.

    No data is read.
    """
    sizes, batch_size, parts = experiment.dataset.spec.sizes, experiment.batch_size, experiment.accumulate
    for split in ("train", "validation", "test"):
        if sizes.get(split, 0) < 1:
            raise ValueError(
                f"dataset {experiment.dataset.name!r} has nothing in split {split!r}; hold some examples out"
            )
    for name in ("batch_size", "steps", "accumulate", "log_every"):
        if getattr(experiment, name) < 1:
            raise ValueError(f"{name} {getattr(experiment, name)} is not positive; try 1 or more")
    for name, end in (("steps", 2**31), ("seed", 2**32)):  # of the step's i32 and the key's u32
        if not 0 <= getattr(experiment, name) < end:
            raise ValueError(f"{name} {getattr(experiment, name)} is not in [0, {end:,}); give one that is")
    if batch_size > sizes["train"]:
        most = sizes["train"]
        raise ValueError(f"batch_size {batch_size} is larger than the {most} training examples; try {most} or less")
    share = shares * parts
    if batch_size % share:
        below = batch_size // share * share
        tries = " or ".join(str(n) for n in (below, below + share) if n)
        over = f"{shares} device{'s' * (shares > 1)}" + f" x {parts} micro-batches" * (parts > 1)
        raise ValueError(f"batch_size {batch_size} does not divide over {over}; try {tries}")
    return fit(experiment)


def check_memory(experiment: Experiment, executor: executors.Executor) -> None:
    """Raise OutOfMemory where the state and the gradients of a step alone are larger than the memory that is free.

    XLA would try for minutes, or the kernel end the process without a word.
    """
    state = experiment.abstract()
    mine = [device for device in executor.devices if device.process_index == jax.process_index()]
    copies = len(mine) if mine[0].platform == "cpu" else 1  # simulated devices share one memory
    held = copies * executor.bytes_per_device(state)
    gradients = copies * executor.bytes_per_device(state.params)
    free = memory.free(mine[0])
    if held + gradients > free:
        raise OutOfMemory(
            f"out of memory: the state takes {held:,} bytes and its gradients {gradients:,} more, and {free:,} are "
            f"free on {mine[0].device_kind}; choose a smaller model, or split it over more devices with --mesh=fsdp:N"
        )


def fit(experiment: Experiment) -> PyTree:
    """Return the shapes of the model's outputs; raise where model, data and task do not fit."""

    def run(state: TrainState) -> PyTree:
        batch = experiment.example(2)
        outputs, _ = steps.forward(experiment.model, state.params, state.extras, batch)
        return outputs, experiment.task(outputs, batch)

    try:
        outputs, sums = jax.eval_shape(run, experiment.abstract())
    except (TypeError, ValueError, ArithmeticError) as error:
        inputs = jax.tree.map(lambda x: f"{x.dtype.name}{list(x.shape)}", experiment.example(2).inputs)
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, ZeroDivisionError):  # the initialisers divide by the width
            reason = "no width may be 0"
        raise ValueError(
            f"{type(experiment.model).__name__} and task {experiment.task.name!r} do not fit dataset "
            f"{experiment.dataset.name!r} with inputs {inputs}: {reason}"
        ) from error
    assert "loss" in sums, f"task {experiment.task.name!r} gives no 'loss'"
    return outputs


def evaluate_batch_size(experiment: Experiment, shares: int) -> int:
    """Return the evaluation batch: what the experiment says, else its batch size, rounded up to divide evenly."""
    return math.ceil((experiment.evaluate_batch_size or experiment.batch_size) / shares) * shares
