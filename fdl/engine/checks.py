"""Checks before a run: the parts of an experiment fit together and into memory. No data is read."""

import math

import jax

from fdl.core.errors import OutOfMemory, UserError
from fdl.core.forward import forward
from fdl.core.types import SPLITS, PyTree, TrainState
from fdl.experiment import Experiment
from fdl.parallel import executors, memory


def check(experiment: Experiment, num_shards: int) -> PyTree:
    """Return the shapes of the model's outputs; raise a one-line ValueError if the parts do not fit together.

    No data is read.
    """
    sizes, batch_size, parts = experiment.dataset.spec.sizes, experiment.batch_size, experiment.accumulate
    for split in SPLITS:
        if sizes.get(split, 0) < 1:
            raise UserError(
                f"dataset {experiment.dataset.name!r} has nothing in split {split!r}; hold some examples out"
            )
    for name in ("batch_size", "steps", "accumulate", "log_every", "keep", "keep_every"):
        if (value := getattr(experiment, name)) is not None and value < 1:
            raise UserError(f"{name} {value} is not positive; try 1 or more")
    for name, end in (("steps", 2**31), ("seed", 2**32)):  # of the step's i32 and the key's u32
        if not 0 <= getattr(experiment, name) < end:
            raise UserError(f"{name} {getattr(experiment, name)} is not in [0, {end:,}); give one that is")
    if experiment.patience is not None and experiment.patience < 1:
        raise UserError(f"patience {experiment.patience} is not positive; try 1 or more evaluations")
    if experiment.minutes is not None and not 0 < experiment.minutes < math.inf:
        raise UserError(f"minutes {experiment.minutes} is not positive and finite; give more than 0")
    if batch_size > sizes["train"]:
        most = sizes["train"]
        raise UserError(f"batch_size {batch_size} is larger than the {most} training examples; try {most} or less")
    divisor = num_shards * parts
    if batch_size % divisor:
        below = batch_size // divisor * divisor
        tries = " or ".join(str(n) for n in (below, below + divisor) if n)
        over = f"{num_shards} device{'s' * (num_shards > 1)}" + f" x {parts} micro-batches" * (parts > 1)
        raise UserError(f"batch_size {batch_size} does not divide over {over}; try {tries}")
    metrics = experiment.task.metrics
    directed = [name for name, metric in metrics.items() if metric.better]
    if experiment.monitor not in directed:
        raise UserError(
            f"monitor {experiment.monitor!r} cannot choose the best checkpoint; try {' or '.join(directed)}"
        )
    return fit(experiment)


def check_memory(experiment: Experiment, executor: executors.Executor, *, trains: bool = True) -> None:
    """Raise OutOfMemory where the state, and in training the gradients, alone are larger than the memory that is free.

    Otherwise XLA would try for minutes, or the kernel would kill the process without a message.
    """
    state = experiment.abstract()
    local_devices = [device for device in executor.devices if device.process_index == jax.process_index()]
    copies = len(local_devices) if local_devices[0].platform == "cpu" else 1  # simulated devices share one memory
    held = copies * executor.bytes_per_device(state)
    gradients = copies * executor.bytes_per_device(state.params) if trains else 0
    free = memory.free(local_devices[0])
    if held + gradients > free:
        raise OutOfMemory(
            f"out of memory: the state takes {held:,} bytes"
            f"{f' and its gradients {gradients:,} more' if trains else ''}, and {free:,} are free on "
            f"{local_devices[0].device_kind}; choose a smaller model, or split it over more devices with --mesh=fsdp:N"
        )


def fit(experiment: Experiment) -> PyTree:
    """Return the shapes of the model's outputs; raise a ValueError if model, dataset and task do not fit."""

    def run(state: TrainState) -> PyTree:
        batch = experiment.example(2)
        outputs, _ = forward(experiment.model, state.params, state.model_state, batch)
        return outputs, experiment.task(outputs, batch)

    try:
        state = experiment.abstract()
        if empty := _empty_parameter(state.params):
            raise UserError(f"no width may be 0, and {empty}")
        outputs, sums = jax.eval_shape(run, state)
    except (TypeError, ValueError, ArithmeticError) as error:
        inputs = jax.tree.map(lambda x: f"{x.dtype.name}{list(x.shape)}", experiment.example(2).inputs)
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, ZeroDivisionError):  # the initialisers divide by the width
            reason = "no width may be 0"
        raise UserError(
            f"{type(experiment.model).__name__} and task {experiment.task.name!r} do not fit dataset "
            f"{experiment.dataset.name!r} with inputs {inputs}: {reason}"
        ) from error
    assert "loss" in sums, f"task {experiment.task.name!r} gives no 'loss'"
    return outputs


def _empty_parameter(params: PyTree) -> str:
    """Return the path and shape of a parameter without a number, or nothing: some initialisers take a width of 0."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if 0 in leaf.shape:
            return f"{jax.tree_util.keystr(path, simple=True, separator='/')} is {list(leaf.shape)}"
    return ""


def evaluate_batch_size(experiment: Experiment, num_shards: int) -> int:
    """Return the evaluation batch size: the experiment's, else its batch size, rounded up to divide evenly."""
    return math.ceil((experiment.evaluate_batch_size or experiment.batch_size) / num_shards) * num_shards
