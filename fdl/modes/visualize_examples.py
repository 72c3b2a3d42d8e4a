"""Visualise a trained model's predictions on the first test examples, for the report."""

from collections.abc import Mapping

import jax
import numpy as np

from fdl.core import steps
from fdl.core.integers import round_up
from fdl.core.types import TrainState
from fdl.experiment import Experiment
from fdl.parallel import processes
from fdl.parallel.compiled import Call
from fdl.parallel.executors import Executor

SHOWN = 6


def show(experiment: Experiment, executor: Executor, state: TrainState) -> Mapping[str, str]:
    """Return heading -> SVG of the experiment's visualisation; empty without one, or in a multi-process run."""
    if experiment.visualize is None or processes.count() > 1:
        return {}
    source = experiment.dataset.load("test")
    count = round_up(SHOWN, executor.num_shards)
    batch = source.fetch(np.arange(count) % len(source))
    look = steps.prepare(steps.inspect_step(experiment.model, experiment.task), experiment.dataset.transform)
    _, found = Call(executor, steps.fuse(look))(state, jax.tree.map(lambda x: np.asarray(x)[None], batch))
    answers, sown, seen = jax.tree.map(lambda x: np.asarray(x[0, :SHOWN]), jax.device_get(found))
    return experiment.visualize(answers, sown, seen)
