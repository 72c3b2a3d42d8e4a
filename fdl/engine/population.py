"""Populations: experiments that differ only in numeric knobs, trained as one program by vmap.

A page is a pure function, so it may be called with traced numbers: it returns the experiment of any member, and vmap of
its step over the members trains them all at once.

Shape legend: P population, S steps per call, B batch.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core import steps, stopping
from fdl.core.errors import UserError
from fdl.core.integers import ceil_div
from fdl.core.types import Batch, PyTree, Rows, Step, TrainState
from fdl.data import Source
from fdl.engine import loader
from fdl.engine.folds import FoldSource
from fdl.engine.options import apply_options
from fdl.engine.program import step_of
from fdl.experiment import Experiment

SPACING: dict[str, Callable[..., np.ndarray]] = {"linear": np.linspace, "log": np.geomspace}


@dataclass(frozen=True, kw_only=True)
class Population:
    """P members that share one page.

    make:   the function of a page, `(**numbers) -> Experiment`, pure.
    values: knob -> [P], one number per member. folds: how many folds the members are, 0 where they share their rows.
    """

    make: Callable[..., Experiment]
    values: Mapping[str, np.ndarray]
    folds: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def settings(self, index: int) -> dict[str, Any]:
        """Return the knobs of one member."""
        return {knob: numbers[index].item() for knob, numbers in self.values.items()}

    def member(self, index: int) -> Experiment:
        """Return the experiment of one member."""
        return self.make(**self.settings(index))

    @property
    def patience(self) -> int | None:
        """Evaluations in a row without a better score after which a member stops; None trains all to the end."""
        return self.member(0).patience

    def init(self) -> TrainState:
        """Return the states at step 0: each leaf [P, ...], but one step counter for all."""

        def one(values: Mapping[str, Any]) -> TrainState:
            made = self.make(**values)
            state = steps.init(made.model, made.optimizer, example, made.seed)
            return stopping.stoppable(state) if self.patience else state

        first = self.member(0)
        example = first.example()
        if first.init_from is not None:
            raise UserError("the members of a population start from random weights; leave out --weights and --init")
        if self.folds:  # what a member begins with may be fitted on its rows
            states = [self.member(i).init() for i in range(len(self))]
            states = [stopping.stoppable(state) for state in states] if self.patience else states
            stacked: TrainState = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
            return stacked._replace(step=states[0].step)
        with self._naming():
            result: TrainState = jax.jit(jax.vmap(one, out_axes=steps.MEMBERS))(dict(self.values))
            return result

    def abstract(self) -> TrainState:
        """Return the shapes of the states at step 0; nothing is allocated."""
        result: TrainState = jax.eval_shape(self.init)
        return result

    def training_step(self, take: Callable[[PyTree, Any], Batch]) -> Step:
        """Return the Step of all members: `(states, rows [P, B], values, arrays)`."""

        def of(values: Mapping[str, Any]) -> Step:
            step = steps.take_rows(step_of(self.make(**values)), take)
            return stopping.until_stopped(step) if self.patience else step

        return self._naming()(steps.population(of))

    def evaluation_step(self, take: Callable[[PyTree, Any], Batch]) -> Step:
        """Return the evaluation Step of all members: `(states, rows [P, B], values, arrays)`."""

        def of(values: Mapping[str, Any]) -> Step:
            made = self.make(**values)
            prepared = steps.prepare(steps.eval_step(made.model, made.task), made.dataset.transform)
            step = steps.take_rows(prepared, take)
            return stopping.unwrapped(step) if self.patience else step

        return self._naming()(steps.population(of))

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Turn a TypeError of tracing into a ValueError that names the varied knobs."""
        try:
            yield
        except TypeError as error:
            raise UserError(
                f"a population varies numbers that do not change the program, but {', '.join(self.values)} do: "
                f"{str(error).splitlines()[0]}; --sweep varies anything"
            ) from None

    def source(self, split: str) -> Source:
        """Return the examples in memory that all members share; each of several folds uses some rows of these."""
        source = self.member(0).dataset.load(split).resident()
        return source.pool if isinstance(source, FoldSource) else source

    def training_rows(self, step: int, count: int) -> Rows:
        """Return rows [S, P, B] of the shared examples: each member's data order follows its seed."""
        first, own = self.member(0), self._own_rows("train")
        keys = [
            (int(seed), len(rows))
            for seed, rows in zip(self.values.get("seed", [first.seed] * len(self)), own, strict=True)
        ]
        orders = {
            (seed, size): loader.training_rows(seed, step, count, batch_size=first.batch_size, size=size)
            for seed, size in set(keys)
        }
        each = [Rows(rows[orders[key].indices], orders[key].weights) for key, rows in zip(keys, own, strict=True)]
        result: Rows = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *each)
        return result

    def evaluation_rows(self, split: str, batch_size: int) -> Iterator[Rows]:
        """Yield rows [1, P, B] of the shared examples: each member's examples of a split once, in order."""
        own = self._own_rows(split)
        most = max(map(len, own))
        size = min(batch_size, most)
        calls = ceil_div(most, size)
        each = [loader.evaluation_rows(batch_size=size, size=len(rows), count=calls) for rows in own]
        for call in range(calls):
            indices = [rows[order.indices[call]] for rows, order in zip(own, each, strict=True)]
            yield Rows(np.stack(indices)[None], np.stack([order.weights[call] for order in each])[None])

    @cached_property
    def _rows(self) -> dict[str, list[np.ndarray]]:
        return {}

    def _own_rows(self, split: str) -> list[np.ndarray]:
        """Return for each member which rows of the shared examples it uses: all, or those of its fold."""
        if split not in self._rows:
            sources = [self.member(i).dataset.load(split) for i in range(len(self) if self.folds else 1)]
            rows = [
                np.asarray(one.rows if isinstance(one, FoldSource) else np.arange(len(one)), np.int32)
                for one in sources
            ]
            self._rows[split] = rows if self.folds else rows * len(self)
        return self._rows[split]


def of_folds(make: Callable[..., Experiment], count: int) -> Population:
    """Return the population of the `count` folds of an experiment: each holds out one, and all do together every row.

    make: the function of a page, called without numbers.
    """

    @cache
    def member(number: int) -> Experiment:
        return apply_options(make(), fold=f"{number}/{count}")

    def of(*, fold: Any) -> Experiment:
        return make() if isinstance(fold, jax.core.Tracer) else member(int(fold))

    return Population(make=of, values={"fold": np.arange(1, count + 1)}, folds=count)


def members(seeds: int | None, settings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return knob -> [P]: the Cartesian product of the settings, and of the seeds 0, 1, ... if `seeds` is given."""
    if seeds and "seed" in settings:
        raise UserError(
            f"seeds={seeds} and seed={settings['seed'].tolist()} both name the seeds; leave out one of them"
        )
    axes = {**settings, **({"seed": np.arange(seeds)} if seeds else {})}
    columns = zip(*product(*axes.values()), strict=True)
    return {knob: np.array(column) for knob, column in zip(axes, columns, strict=True)}


def parse(text: str) -> dict[str, np.ndarray]:
    """Parse `knob=low..high:log:count` or `knob=1,2,3`, separated by blanks; raise a ValueError for anything else."""
    found = {}
    for word in text.split():
        knob, _, rest = word.partition("=")
        if knob in found:
            raise UserError(f"population varies {knob} twice; give all its values in one place")
        try:
            found[knob] = _numbers(rest)
        except (ValueError, KeyError):
            raise UserError(
                f"population {word!r} is not understood; write knob=1e-4..1e-2:log:16, knob=0..1:linear:5 or knob=1,2,3"
            ) from None
    return found


def _numbers(text: str) -> np.ndarray:
    if ".." in text:
        ends, spacing, count = text.split(":")
        low, high = map(float, ends.split(".."))
        numbers = SPACING[spacing](low, high, int(count))
    else:
        numbers = np.array([int(word) if word.isdecimal() else float(word) for word in text.split(",")])
    if not len(numbers) or not np.isfinite(numbers).all():
        raise UserError(text)
    return numbers
