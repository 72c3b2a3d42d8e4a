"""What a trained model answers about its test split, as sections of the report.

Shape legend: n examples.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import jax
import numpy as np

from fdl.core import errors, steps
from fdl.core.integers import round_up
from fdl.core.log import Log
from fdl.core.types import TrainState
from fdl.data.modalities.series_rows import SERIES
from fdl.engine.decoding import decoding_of
from fdl.engine.error_rates import Decoded, edits
from fdl.engine.examples import (
    Predicted,
    Predictor,
    can_show,
    examples_of,
    numbers,
    of_sequences,
    sureness,
    true_classes,
    wrong_words,
)
from fdl.experiment import Experiment
from fdl.modes.draw_report import Allowance
from fdl.parallel import processes
from fdl.parallel.compiled import Call
from fdl.parallel.executors import Executor
from fdl.runs.report.charts import forecasts, of_numbers, two_classes
from fdl.runs.report.elements import element
from fdl.runs.report.gallery import gallery
from fdl.runs.writers.record import Record
from fdl.runs.writers.writer import Examples

MOST, MOST_DECODED = 10_000, 256  # test examples that are predicted for the page, and that are decoded for it
WORST, HITS = 12, 6
SAMPLES = 8  # examples at evaluations
AT_MOST = 1 / 50  # of the time of training is spent on these
SHOWN = 6  # by an experiment's own visualisation
EXAMPLES = "Test examples"
WINDOWS = 3  # of running text, each


@dataclass(frozen=True)
class Answers:
    """What a model answers. sections: heading -> HTML or SVG. examples: what they are -> examples with predictions."""

    sections: Mapping[str, str] = field(default_factory=dict)
    examples: Examples = field(default_factory=dict)


def answers(
    experiment: Experiment, executor: Executor, state: TrainState, log: Log, decoded: Decoded | None = None
) -> Answers:
    """Return what a model answers, with the experiment's own visualisation; nothing where predictions are of no known
    kind, in several processes, or where that fails.

    A page without them must not fail a finished run. The state that was given is consumed.
    decoded: the first sequences of the test split, where they have been decoded already.
    """
    if processes.count() > 1:
        return Answers()
    shown: Mapping[str, str] = {}
    try:
        state, shown = _visualized(experiment, executor, state)
        if not can_show(experiment):
            return Answers(shown)
        if decoded is None:
            most = MOST_DECODED if decoding_of(experiment) else MOST
            _, given = Predictor(experiment, executor, "test", most)(state)
        else:
            given = of_sequences("test", decoded)
        found = _sections(experiment, given)
    except Exception as error:
        log(f"warning: report.html shows no examples ({type(error).__name__}: {errors.brief(error)})")
        return Answers(shown)
    page = _halves({title: gallery(each) for title, each in found.examples.items()})
    return Answers({**found.sections, **({EXAMPLES: page} if page else {}), **shown}, found.examples)


class Samples:
    """A few examples of the validation split with predictions, the same ones at evaluations, for a run's writers.

    They take at most a share of the time: the first come when training has gone on for so long that the time which its
    program took to compile is that share of it, since theirs is compiled then. training: the calls of that program.
    """

    def __init__(self, experiment: Experiment, executor: Executor, record: Record, log: Log, training: Call):
        self.experiment, self.executor, self.record, self.log = experiment, executor, record, log
        self.training, self.begun = training, time.perf_counter()
        self.allowance: Allowance | None = None
        self.shows = record.shows() and processes.count() == 1 and can_show(experiment)

    def __call__(self, state: TrainState, step: int) -> TrainState:
        """Write the examples with the predictions of a state, which is returned, where they may be written again."""
        if not self.shows or not self._due():
            return state
        assert self.allowance is not None
        with self.allowance.spending():
            try:
                state, given = self._predictor(state)
                shown = examples_of(self.experiment, given, range(self._predictor.count))
                self.record.show("validation", step, {"Examples": shown})
            except Exception as error:  # no reason to end a run
                self.shows = False
                self.log(f"warning: no examples at evaluations ({type(error).__name__}: {errors.brief(error)})")
        return state

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.experiment, self.executor, "validation", SAMPLES)

    def _due(self) -> bool:
        if self.allowance is None:  # the time to compile is known after the first calls
            wait = self.training.compile_seconds / AT_MOST - (time.perf_counter() - self.begun)
            self.allowance = Allowance(AT_MOST, wait)
        return self.allowance.is_due()


def _sections(experiment: Experiment, given: Predicted) -> Answers:
    """Return the sections of a kind of task, and its worst mistakes with some hits."""
    kind, sections = experiment.task.name, {}
    if given.decoded is not None:
        rows = _of_sequences(given.decoded)
    elif kind == "regress":
        true, predicted = numbers(experiment, given)
        sections = _of_numbers(experiment, true, predicted)
        order = np.argsort(-np.abs(predicted - true)[:, 0], kind="stable")  # what is not known comes last
        order = order[np.isfinite(true[order, 0])]
        rows = {"Largest errors": order[:WORST], "Smallest errors": order[::-1][:HITS]} if true.shape[1] == 1 else {}
    elif kind == "next_token":
        order = np.argsort(-wrong_words(given).mean(1), kind="stable")
        rows = {
            "Most next tokens are wrong, which are marked": order[:WINDOWS],
            "Fewest are wrong": order[::-1][:WINDOWS],
        }
    elif kind == "tag":
        rows = _worst_and_hits("Most wrong tags", wrong_words(given).sum(1))
    else:
        sections, rows = _two_classes(experiment, given), _of_classes(experiment, given)
    return Answers(sections, {title: examples_of(experiment, given, each) for title, each in rows.items()})


def _of_numbers(experiment: Experiment, true: np.ndarray, predicted: np.ndarray) -> dict[str, str]:
    """Return the errors of numbers f64[n, K], and of a series its forecasts."""
    sections = {"Predicted and true": of_numbers(true, predicted)}
    if experiment.dataset.places is None:
        return sections
    places = experiment.dataset.places("test")
    first = np.array([names[0] for names in places.carried.get(SERIES, true * 0)[: len(true)]])
    sides = (side[first == first[0]].reshape(-1) for side in (true, predicted))
    return {"Forecasts": forecasts(places.name, *sides), **sections}


Rows = dict[str, np.ndarray]  # what they are -> rows of the split


def _of_classes(experiment: Experiment, given: Predicted) -> Rows:
    """Return the surest mistakes and some hits."""
    wrong = true_classes(given) != given.found["class"]
    return _worst_and_hits("The surest mistakes", np.where(wrong, sureness(experiment, given), 0), wrong)


def _of_sequences(given: Decoded) -> Rows:
    """Return the sequences with the most edits for their length, and some without any."""
    counts = np.array(edits(*given))
    lengths = np.array([len(each) for each in given.references])
    return _worst_and_hits("The highest error rates", counts / np.maximum(lengths, 1))


def _worst_and_hits(title: str, badness: np.ndarray, wrong: np.ndarray | None = None) -> Rows:
    """Return the worst of the wrong rows, and some that are right.

    badness: f[n], the higher the worse. wrong: bool[n]; by default where that is more than 0.
    """
    wrong = badness > 0 if wrong is None else wrong
    mistakes, right = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    worst = mistakes[np.argsort(-badness[mistakes], kind="stable")][:WORST]
    hits = right[np.linspace(0, len(right) - 1, min(HITS, len(right))).astype(int)] if len(right) else right
    return {f"{title}, {len(worst)} of {len(mistakes):,}": worst, "Some that are right": hits}


def _two_classes(experiment: Experiment, given: Predicted) -> dict[str, str]:
    """Return the curves of two classes, nothing of more."""
    names, found, one = experiment.dataset.spec.names, given.found, experiment.task.name == "binary"
    if not one and found["probabilities"].shape[1] != 2:
        return {}
    scores = found["probability"] if one else found["probabilities"][:, 1]
    drawn = two_classes(true_classes(given) == 1, scores, names[1] if names else "1")
    return {"ROC, precision and recall": drawn}


def _halves(parts: Mapping[str, str]) -> str:
    """Return parts with their titles beside each other where there is room."""
    shown = [f"<div>{element('h3', title)}{body}</div>" for title, body in parts.items() if body]
    return f'<div class="halves">{"".join(shown)}</div>' if shown else ""


def _visualized(experiment: Experiment, executor: Executor, state: TrainState) -> tuple[TrainState, Mapping[str, str]]:
    """Return the state, and heading -> SVG of the experiment's visualisation; empty without one.

    The state that was given is consumed.
    """
    if experiment.visualize is None:
        return state, {}
    source = experiment.dataset.load("test")
    count = round_up(SHOWN, executor.num_shards)
    batch = source.fetch(np.arange(count) % len(source))
    look = steps.prepare(steps.inspect_step(experiment.model, experiment.task), experiment.dataset.transform)
    state, found = Call(executor, steps.fuse(look))(state, jax.tree.map(lambda x: np.asarray(x)[None], batch))
    answers, sown, seen = jax.tree.map(lambda x: np.asarray(x[0, :SHOWN]), jax.device_get(found))
    return state, experiment.visualize(answers, sown, seen)
