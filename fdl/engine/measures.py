"""What a log line tells besides the metrics: learning rate, size of gradients and updates, speed, wait for input.

The norm of gradients is a sum of the steps, whose optimizer computes it anyway to clip by it. All else is outside of
the steps: times are taken around calls; learning rate and update/weight ratio are computed once a log line.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim
from fdl.core.last_update import has_momentum, update_ratio
from fdl.core.steps import fuse
from fdl.core.types import Batch, PyTree, Rows, Sum, Sums, TrainState
from fdl.engine.program import Training
from fdl.experiment import Experiment
from fdl.parallel.compiled import Call
from fdl.parallel.executors import Executor, fetch

LONG = 1e11  # weights times examples trained on, from which a run takes minutes


class Feeding:
    """A training program whose wait for input is timed: `waited` seconds in which the device had nothing to do.

    Rows that are made while a call is in flight cost nothing, and are not counted.
    """

    def __init__(self, program: Training):
        self.program, self.waited = program, 0.0
        self.last: Any = None  # of the last call's sums

    def rows(self, step: int, count: int) -> Rows | Batch:
        """Return the inputs of a call."""
        begun = time.perf_counter()
        rows = self.program.rows(step, count)
        if self.last is None or self.last.is_ready():
            self.waited += time.perf_counter() - begun
        return rows

    def take(self) -> float:
        """Return the seconds waited, and start over."""
        waited, self.waited = self.waited, 0.0
        return waited

    def call(self, state: TrainState, chunk: PyTree) -> tuple[TrainState, Sums]:
        """Train the steps of a call."""
        state, sums = self.program.call(state, chunk)
        self.last = sums["loss"].total
        return state, sums


class Measures:
    """The learning rate of a state's last step and its update/weight ratio: `(state, step) -> (state, values)`.

    The program of the ratio takes a second to compile, so it is there where training takes far longer: see LONG.
    """

    def __init__(self, experiment: Experiment, executor: Executor):
        optimizer, like = experiment.optimizer, experiment.abstract()
        rate = optim.learning_rate(optimizer)
        self.rate = jax.jit(rate) if callable(rate) else rate
        self.shards = executor.num_shards
        weights = sum(leaf.size for leaf in jax.tree.leaves(like.params))
        long = weights * experiment.steps * experiment.batch_size >= LONG

        def step(state: TrainState, _: jax.Array) -> tuple[TrainState, Sums]:
            ratio = update_ratio(optimizer, state.opt_state, state.params)
            return state, {"update_ratio": Sum(ratio.astype(jnp.float32), jnp.ones(()))}

        self.ratio = Call(executor, fuse(step)) if long and has_momentum(like.opt_state, like.params) else None

    def __call__(self, state: TrainState, updates: int) -> tuple[TrainState, Mapping[str, float]]:
        """Return the state, which is as it was, and the values. updates: so many led to it, without skipped ones."""
        rate: Any = self.rate(max(0, updates - 1)) if callable(self.rate) else self.rate
        values = {} if rate is None else {"learning_rate": float(rate)}
        if self.ratio is None:
            return state, values
        state, found = self.ratio(state, np.zeros((1, self.shards), np.int32))
        return state, {**values, "update_ratio": float(fetch(found)["update_ratio"].total[0])}


def gradient_norm(window: Sums) -> dict[str, float]:
    """Return the mean norm of the gradients of a window, where its steps have it and one of them was finite."""
    norms = window.get("gradient_norm")
    return {"gradient_norm": float(norms.total / norms.weight)} if norms and norms.weight else {}
