"""Examples of a split with what a model predicts of them, as the report and trackers show them.

Shape legend: n examples, T tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fdl.core import steps
from fdl.core.types import TrainState
from fdl.engine.checks import evaluate_batch_size
from fdl.engine.decoding import Decoding, decoding_of
from fdl.engine.error_rates import Decoded, decode_split, edits
from fdl.engine.program import answering, each_batch
from fdl.experiment import Experiment
from fdl.parallel.executors import Executor
from fdl.runs.report.elements import number
from fdl.runs.report.example_view import marked, view_of
from fdl.runs.report.gallery import Example

LOGITS = 2**26  # of running text that are computed at once, 256 MiB
NAMED = 12  # words of a sentence whose tags are named


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions of the first n examples of a split.

    targets, weights: [n, ...]. found: the task's columns [n, ...]; of sequences none, but `decoded`.
    """

    split: str
    targets: np.ndarray
    weights: np.ndarray
    found: Mapping[str, np.ndarray]
    decoded: Decoded | None = None


def can_show(experiment: Experiment) -> bool:
    """Say whether an example has one class, numbers, tokens, tags or a sequence to be decoded."""
    targets, kind = experiment.dataset.spec.targets, experiment.task.name
    one = getattr(targets, "shape", None)
    if kind in ("classify", "binary"):
        return one in ((), (1,))
    if kind == "tag":
        return bool(experiment.dataset.spec.names) and view_of(experiment.dataset) is not None
    if kind == "next_token":
        return experiment.dataset.tokenizer is not None and one is not None and len(one) == 1
    return one is not None and (kind == "regress" or decoding_of(experiment) is not None)


class Predictor:
    """Predicts the first examples of a split, compiled once: `state -> (state, predictions)`."""

    def __init__(self, experiment: Experiment, executor: Executor, split: str, most: int):
        spec = experiment.dataset.spec
        size, batch = spec.sizes[split], evaluate_batch_size(experiment, executor.num_shards)
        self.experiment, self.executor, self.split = experiment, executor, split
        self.decoding = decoding_of(experiment)
        self.count = min(size, most)
        if experiment.task.name == "next_token":  # one batch, whose logits are computed at once
            row = spec.targets.shape[0] * (spec.vocabulary or 1)
            self.count = batch = min(self.count, batch, max(1, LOGITS // row))
        if self.decoding:
            batch = self.decoding.rows
        step = self.decoding.step if self.decoding else steps.predict_step(experiment.model, experiment.task)
        self.size, self.call = batch, answering(experiment, executor, step)

    def __call__(self, state: TrainState) -> tuple[TrainState, Predicted]:
        """Return the state, which is consumed, and the predictions."""
        made = self.experiment
        if self.decoding:
            decoding = replace(self.decoding, step=self.call)
            state, decoded = decode_split(made, self.executor, decoding, self.split, state, self.count)
            return state, of_sequences(self.split, decoded)
        kept = ("class",) if made.task.name == "tag" else None  # probabilities of each word are large
        parts = []
        for part in each_batch(made, self.executor, self.call, self.split, state, size=self.size, count=self.count):
            state = part.state
            parts.append(part._replace(found={name: part.found[name] for name in kept or part.found}))
        return state, Predicted(
            split=self.split,
            targets=np.concatenate([np.asarray(part.batch.targets) for part in parts]),
            weights=np.concatenate([np.asarray(part.batch.weights) for part in parts]),
            found={name: np.concatenate([part.found[name] for part in parts]) for name in parts[0].found},
        )


def of_sequences(split: str, decoded: Decoded) -> Predicted:
    """Return the predictions that decoded sequences are."""
    none = np.zeros(0)
    return Predicted(split=split, targets=none, weights=none, found={}, decoded=decoded)


def examples_of(experiment: Experiment, given: Predicted, rows: Sequence[int] | np.ndarray) -> list[Example]:
    """Return some rows of a split as they are shown, with their predictions."""
    if not len(rows):
        return []
    view, words = view_of(experiment.dataset), _words(experiment, given)
    shown: list[dict[str, Any]] = [{} for _ in rows]
    if view and experiment.task.name != "next_token":
        shown = view(experiment.dataset.load(given.split).fetch(np.asarray(rows)).inputs)
    return [Example(row=int(i), **words(int(i), seen)) for i, seen in zip(rows, shown, strict=True)]


Words = Callable[[int, dict[str, Any]], dict[str, Any]]  # a row and its view -> the fields of `Example`


def _words(experiment: Experiment, given: Predicted) -> Words:
    kind = experiment.task.name
    if given.decoded is not None:
        decoding = decoding_of(experiment)
        assert decoding is not None
        return _sequence_words(decoding, given.decoded)
    if kind == "next_token":
        return _token_words(experiment, given)
    if kind == "tag":
        return _tag_words(experiment, given)
    return _number_words(experiment, given) if kind == "regress" else _class_words(experiment, given)


def sureness(experiment: Experiment, given: Predicted) -> np.ndarray:
    """Return f[n], the probability of each predicted class."""
    sure = given.found["probability"]
    return np.where(given.found["class"] == 1, sure, 1 - sure) if experiment.task.name == "binary" else sure


def true_classes(given: Predicted) -> np.ndarray:
    """Return i64[n], the true classes."""
    return given.targets.reshape(-1).astype(np.int64)


def numbers(experiment: Experiment, given: Predicted) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the predicted numbers f64[n, K], in the units of the data; NaN where none is known."""
    dataset, size = experiment.dataset, len(given.targets)
    true, predicted = (
        np.asarray(side, np.float64).reshape(size, -1) + dataset.spec.offset
        for side in (given.targets, given.found["value"])
    )
    if dataset.places is None:
        return true, predicted
    places = dataset.places(given.split)
    return places.given[:size], predicted + places.naive[:size]


def wrong_words(given: Predicted) -> np.ndarray:
    """Return bool[n, T]: the tokens or tags of each example that are wrong; what weighs nothing is not."""
    predicted = given.found["class" if "class" in given.found else "token"]
    counted = given.weights.reshape(len(predicted), -1) > 0
    return np.asarray((given.targets != predicted) & counted)


def _class_words(experiment: Experiment, given: Predicted) -> Words:
    names, targets, sure = experiment.dataset.spec.names, true_classes(given), sureness(experiment, given)

    def words(i: int, seen: dict[str, Any]) -> dict[str, Any]:
        true, answer = (str(names[each] if names else each) for each in (targets[i], given.found["class"][i]))
        right = bool(targets[i] == given.found["class"][i])
        return {"true": true, "predicted": f"{answer} {sure[i]:.2f}", "right": right, **seen}

    return words


def _number_words(experiment: Experiment, given: Predicted) -> Words:
    true, predicted = numbers(experiment, given)

    def words(i: int, seen: dict[str, Any]) -> dict[str, Any]:
        shown = (" ".join(number(value) for value in side[i]) for side in (true, predicted))
        return {**dict(zip(("true", "predicted"), shown, strict=True)), **seen}

    return words


def _token_words(experiment: Experiment, given: Predicted) -> Words:
    tokenizer, wrong = experiment.dataset.tokenizer, wrong_words(given)
    assert tokenizer is not None
    targets, predicted = (side.astype(np.int64) for side in (given.targets, given.found["token"]))

    def words(i: int, seen: dict[str, Any]) -> dict[str, Any]:
        right = f"{1 - wrong[i].mean():.0%} right"
        return {"marked": marked(tokenizer, targets[i], predicted[i]), "predicted": right}

    return words


def _tag_words(experiment: Experiment, given: Predicted) -> Words:
    names, wrong, lengths = experiment.dataset.spec.names, wrong_words(given), (given.weights > 0).sum(1)
    assert names is not None
    common = names[np.bincount(given.targets[given.weights > 0].astype(np.int64)).argmax()]

    def words(i: int, seen: dict[str, Any]) -> dict[str, Any]:
        sides = given.targets[i], given.found["class"][i]
        true, predicted = ([names[tag] for tag in side[: lengths[i]]] for side in sides)
        tagged = list(zip(seen["words"], true, predicted, strict=True))
        pieces = [(f"{word} ", "" if one == other else f"{other}, not {one}") for word, one, other in tagged]
        missed = [f"{word} {other}, not {one}" for word, one, other in tagged if one != other]
        named = missed or [f"{word} {one}" for word, one, _ in tagged if one != common]
        right = f"{lengths[i] - wrong[i].sum()} of {lengths[i]} tags right"
        note = "; ".join(named[:NAMED]) + "; …" * (len(named) > NAMED)
        return {"marked": pieces, "predicted": right, "right": not missed, "note": note}

    return words


def _sequence_words(decoding: Decoding, given: Decoded) -> Words:
    text = decoding.text or (lambda tokens: " ".join(map(str, tokens)))

    def words(i: int, seen: dict[str, Any]) -> dict[str, Any]:
        written, wanted = given.hypotheses[i], given.references[i]
        (wrong,) = edits([written], [wanted])
        rate = f"error rate {wrong / len(wanted):.2g}: {wrong} of {len(wanted)} {decoding.unit}s" if wanted else ""
        return {"true": text(wanted), "predicted": text(written), "right": not wrong, "note": rate, **seen}

    return words
