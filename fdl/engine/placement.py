"""Where an experiment runs: its executor, and the initial state placed on its devices."""

import math
from collections.abc import Sequence

import jax

from fdl.core.errors import UserError
from fdl.core.forward import arguments
from fdl.core.types import TrainState
from fdl.engine.checks import check, check_memory
from fdl.experiment import Experiment
from fdl.models import partitioning
from fdl.parallel import executors, processes, sharding
from fdl.parallel.devices import find


def make_executor(experiment: Experiment, devices: Sequence[jax.Device] | None = None) -> executors.Executor:
    """Make the executor of an experiment, on its accelerator or on these devices."""
    devices = list(devices or find(experiment.accelerator))
    name, shape = experiment.executor, experiment.mesh
    if name == "auto":
        name = "jit" if len(devices) == 1 and not shape else "mesh"
    if name not in executors.EXECUTORS:
        raise UserError(f"executor {name!r} is not one of auto, {', '.join(executors.EXECUTORS)}")
    if processes.count() > 1 and name != "mesh":
        raise UserError(f"executor {name} runs in one process and there are {processes.count()}; choose mesh")
    if not shape:
        return executors.EXECUTORS[name](devices)
    mesh_text = ",".join(f"{axis}:{size}" for axis, size in shape.items())
    if name != "mesh":
        raise UserError(f"mesh {mesh_text} needs executor mesh, not {name}; leave out one of them")
    for axis in shape:
        if axis not in sharding.AXES:
            raise UserError(f"mesh axis {axis!r} is not one of {', '.join(sharding.AXES)}")
    if math.prod(shape.values()) != len(devices):
        raise UserError(
            f"mesh {mesh_text} takes {math.prod(shape.values())} devices and there are {len(devices)}; "
            f"make the product of its axes {len(devices)}"
        )
    positional, by_name = arguments(experiment.model, experiment.example())
    return executors.mesh(devices, shape, partitioning.names(experiment.model, *positional, **by_name, train=False))


def prepare(experiment: Experiment, *, trains: bool = False) -> executors.Executor:
    """Check an experiment and make its executor; raise a ValueError or OutOfMemory before any data is read.

    trains: whether memory for gradients is needed as well.
    """
    executor = make_executor(experiment)
    check(experiment, executor.num_shards)
    check_memory(experiment, executor, trains=trains)
    return executor


def initial_state(experiment: Experiment, executor: executors.Executor) -> TrainState:
    """Return the placed state at step 0; a state that is sharded is never materialised whole on one device."""
    if experiment.mesh and experiment.init_from is None:
        result: TrainState = executor.make_state(experiment.init)
        return result
    result = executor.put_state(experiment.init())
    return result
