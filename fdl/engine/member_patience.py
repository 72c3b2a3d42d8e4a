"""Patience of a population: each member stops where its validation score gets no better, and is tested on its best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fdl.core import stopping
from fdl.core.types import TrainState
from fdl.engine.population import Population
from fdl.parallel.executors import Executor
from fdl.runs.progress import Progress, Standing


@dataclass(frozen=True, kw_only=True)
class MemberPatience:
    """Who improved and who stops, decided from what checkpoints hold.

    score: `metrics of a member -> its monitored score`, NaN where it diverged.
    """

    population: Population
    executor: Executor
    score: Callable[[dict[str, float]], float]
    log: Callable[[str], None]

    def judge(self, states: TrainState, step: int, progress: Progress) -> TrainState:
        """Return the states after an evaluation, the improved ones remembered and the stopped ones marked."""
        patience, size = self.population.patience, len(self.population)
        assert patience is not None
        progress.members = progress.members or [Standing() for _ in range(size)]
        better, judged = self.population.member(0).better, progress.metrics["validation"]
        stopped = np.array([member.stale >= patience for member in progress.members])
        improved = np.array(
            [
                not done and member.is_best(self.score(metrics), better)
                for done, member, metrics in zip(stopped, progress.members, judged, strict=True)
            ]
        )
        now = np.array([member.stale >= patience for member in progress.members])
        if (fresh := now & ~stopped).any():
            self.log(
                f"step {step:,}: {fresh.sum()} of {size} members stop after {patience} evaluations without a better "
                f"one, {size - now.sum()} go on"
            )
        placed: TrainState = self.executor.put_state(stopping.remember(states, improved, now))
        return placed

    def best(self, states: TrainState) -> TrainState:
        """Return the states to test: each member's best."""
        placed: TrainState = self.executor.put_state(stopping.recall(states))
        return placed

    def steps(self, states: TrainState) -> list[int]:
        """Return the step of each member's state that was tested."""
        return [int(step) for step in np.asarray(states.opt_state.best.step)]
