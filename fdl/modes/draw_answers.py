"""What a trained model answers about its test split, as sections of the report.

Shape legend: n examples, T tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from fdl.core import errors, steps
from fdl.core.integers import round_up
from fdl.core.log import Log
from fdl.core.types import TrainState
from fdl.data.modalities.series_rows import SERIES
from fdl.engine.checks import evaluate_batch_size
from fdl.engine.program import each_batch
from fdl.experiment import Experiment
from fdl.modes.draw_example import marked, view_of
from fdl.parallel import processes
from fdl.parallel.compiled import Call
from fdl.parallel.executors import Executor
from fdl.runs.report.charts import forecasts, of_numbers, two_classes
from fdl.runs.report.elements import element, number
from fdl.runs.report.gallery import Example, gallery
from fdl.runs.writers.writer import Examples

MOST = 10_000  # test examples that are predicted for the page
WORST, HITS = 12, 6
SHOWN = 6  # by an experiment's own visualisation
LOGITS = 2**26  # of running text, 256 MiB
EXAMPLES = "Test examples"
WINDOWS = 3  # of running text, each


@dataclass(frozen=True)
class Predictions:
    """Predictions of the first n examples of the test split. targets: [n, ...]. found: the task's columns [n, ...]."""

    targets: np.ndarray
    found: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Answers:
    """What a model answers. sections: heading -> HTML or SVG. examples: what they are -> examples with predictions."""

    sections: Mapping[str, str] = field(default_factory=dict)
    examples: Examples = field(default_factory=dict)


def answers(experiment: Experiment, executor: Executor, state: TrainState, log: Log) -> Answers:
    """Return what a model answers, with the experiment's own visualisation; nothing where predictions are of no known
    kind, in several processes, or where that fails.

    A page without them must not fail a finished run. The state that was given is consumed.
    """
    if processes.count() > 1:
        return Answers()
    shown: Mapping[str, str] = {}
    try:
        state, shown = _visualized(experiment, executor, state)
        if not _shown(experiment):
            return Answers(shown)
        found = _sections(experiment, _predicted(experiment, executor, state))
    except Exception as error:
        log(f"warning: report.html shows no examples ({type(error).__name__}: {errors.brief(error)})")
        return Answers(shown)
    page = _halves({title: gallery(each) for title, each in found.examples.items()})
    return Answers({**found.sections, **({EXAMPLES: page} if page else {}), **shown}, found.examples)


def _shown(experiment: Experiment) -> bool:
    """Say whether targets are one class, numbers or tokens for each example, and predictions of their kind."""
    targets, kind = experiment.dataset.spec.targets, experiment.task.name
    one = getattr(targets, "shape", None)
    if kind in ("classify", "binary"):
        return one in ((), (1,))
    return one is not None and kind in ("regress", "next_token")


def _predicted(experiment: Experiment, executor: Executor, state: TrainState) -> Predictions:
    spec = experiment.dataset.spec
    size, batch = spec.sizes["test"], evaluate_batch_size(experiment, executor.num_shards)
    count = min(size, MOST)
    if experiment.task.name == "next_token":  # one batch, whose logits are computed at once
        count = batch = min(size, batch, max(1, LOGITS // (spec.targets.shape[0] * (spec.vocabulary or 1))))
    step = steps.predict_step(experiment.model, experiment.task)
    parts = list(each_batch(experiment, executor, step, "test", state, size=batch, count=count))
    found = {name: np.concatenate([part.found[name] for part in parts]) for name in parts[0].found}
    return Predictions(np.concatenate([np.asarray(part.batch.targets) for part in parts]), found)


def _sections(experiment: Experiment, given: Predictions) -> Answers:
    kind = experiment.task.name
    if kind == "next_token":
        return _of_tokens(experiment, given)
    return _of_numbers(experiment, given) if kind == "regress" else _of_classes(experiment, given)


def _of_classes(experiment: Experiment, given: Predictions) -> Answers:
    """Return the curves of two classes, the most confident mistakes and some hits."""
    names, targets = experiment.dataset.spec.names, given.targets.reshape(-1).astype(np.int64)
    predicted, sure = given.found["class"], given.found["probability"]
    sections = {}
    if experiment.task.name == "binary" or given.found["probabilities"].shape[1] == 2:
        scores = sure if experiment.task.name == "binary" else given.found["probabilities"][:, 1]
        sections["ROC, precision and recall"] = two_classes(targets == 1, scores, names[1] if names else "1")
    if experiment.task.name == "binary":
        sure = np.where(predicted == 1, sure, 1 - sure)

    def words(i: int) -> dict[str, Any]:
        true, answer = (str(names[each] if names else each) for each in (targets[i], predicted[i]))
        return {"true": true, "predicted": f"{answer} {sure[i]:.2f}", "right": bool(targets[i] == predicted[i])}

    wrong, right = (np.flatnonzero(which) for which in (targets != predicted, targets == predicted))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    hits = right[np.linspace(0, len(right) - 1, min(HITS, len(right))).astype(int)] if len(right) else right
    rows = {f"The surest mistakes, {len(worst)} of {len(wrong):,}": worst, "Some that are right": hits}
    return Answers(sections, {title: _chosen(experiment, each, words) for title, each in rows.items()})


def _of_numbers(experiment: Experiment, given: Predictions) -> Answers:
    """Return the errors of numbers, the largest of them and some small ones."""
    dataset, values = experiment.dataset, given.found["value"]
    true, predicted = (
        np.asarray(side, np.float64).reshape(len(values), -1) + dataset.spec.offset for side in (given.targets, values)
    )
    sections = {}
    if dataset.places:
        places = dataset.places("test")
        true, predicted = places.given[: len(values)], predicted + places.naive[: len(values)]
        first = np.array([names[0] for names in places.carried.get(SERIES, true * 0)[: len(values)]])
        sections["Forecasts"] = forecasts(
            places.name, *(side[first == first[0]].reshape(-1) for side in (true, predicted))
        )
    sections["Predicted and true"] = of_numbers(true, predicted)
    if true.shape[1] > 1:
        return Answers(sections)

    def words(i: int) -> dict[str, Any]:
        return {"true": number(true[i, 0]), "predicted": number(predicted[i, 0])}

    order = np.argsort(-np.abs(predicted - true)[:, 0], kind="stable")  # what is not known comes last
    order = order[np.isfinite(true[order, 0])]
    rows = {"Largest errors": order[:WORST], "Smallest errors": order[::-1][:HITS]}
    return Answers(sections, {title: _chosen(experiment, each, words) for title, each in rows.items()})


def _of_tokens(experiment: Experiment, given: Predictions) -> Answers:
    """Return windows of running text with the tokens that were predicted wrongly."""
    tokenizer = experiment.dataset.tokenizer
    if tokenizer is None or given.targets.ndim != 2:
        return Answers()
    targets, predicted = given.targets.astype(np.int64), given.found["token"].astype(np.int64)
    share = (targets == predicted).mean(1)
    order = np.argsort(share, kind="stable")

    def card(i: int) -> Example:
        return Example(row=i, marked=marked(tokenizer, targets[i], predicted[i]), predicted=f"{share[i]:.0%} right")

    worst, best = ([card(int(i)) for i in rows[:WINDOWS]] for rows in (order, order[::-1]))
    return Answers({}, {"Most next tokens are wrong, which are marked": worst, "Fewest are wrong": best})


def _halves(parts: Mapping[str, str]) -> str:
    """Return parts with their titles beside each other where there is room."""
    shown = [f"<div>{element('h3', title)}{body}</div>" for title, body in parts.items() if body]
    return f'<div class="halves">{"".join(shown)}</div>' if shown else ""


def _chosen(experiment: Experiment, chosen: np.ndarray, words: Callable[[int], dict[str, Any]]) -> list[Example]:
    """Return some rows of the test split."""
    if not len(chosen):
        return []
    view = view_of(experiment.dataset)
    source = experiment.dataset.load("test")
    seen = view(source.fetch(np.asarray(chosen)).inputs) if view else [{} for _ in chosen]
    return [Example(row=int(i), **words(int(i)), **shown) for i, shown in zip(chosen, seen, strict=True)]


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
