"""Write a trained model's predictions for a split, or for new data, one line per example.

Shape legend: B batch.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core import steps
from fdl.core.errors import UserError
from fdl.core.log import Log, logger
from fdl.data.dataset import Dataset, Places, Spec
from fdl.data.modalities.media_plan import inputs_plan
from fdl.data.modalities.new_rows import NewRows, new_rows
from fdl.data.modalities.new_targets import target_name
from fdl.engine.answers import in_units, values_of
from fdl.engine.checks import evaluate_batch_size
from fdl.engine.decision import decided
from fdl.engine.decoding import decoding_of
from fdl.engine.placement import prepare
from fdl.engine.program import each_batch
from fdl.experiment import Experiment
from fdl.modes.evaluate import trained
from fdl.modes.prediction_file import json_value, output_file, write
from fdl.runs.workdir import local, on_local_folder
from fdl.trained import Trained, Which, variables_of

STDIN = "-"
SHOWN = 5  # so many predictions of new data, or fewer, are shown as well
FORECASTS = 24  # of those after the end of a series, so many are


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of answers.

    columns: of new data, what to write of what a line holds; all where empty. beams: of sequences; 1 is greedy.
    threshold, calibrated: of two classes, see `fdl.engine.decision.decided`.
    """

    columns: Sequence[str] = ()
    beams: int = 1
    threshold: str | float | None = None
    calibrated: bool = False

    def decided(self, experiment: Experiment, workdir: Path, step: int, log: Callable[[str], None]) -> Experiment:
        """Return the experiment that predicts two classes as this form has it."""
        return decided(experiment, workdir, step, threshold=self.threshold, calibrated=self.calibrated, log=log)


ALL = Form()


def predict(
    experiment: Experiment,
    workdir: Path | str,
    *,
    split: str = "test",
    input: str | None = None,
    output: str | None = None,
    checkpoint: Which = "tested",
    log: Log | None = print,
) -> Path:
    """Write the predictions of a run's checkpoint and return the file.

    split:  the examples to predict; each line includes the target if that is a single number.
    input:  new data instead, see `predict_new`.
    output: a .jsonl or .csv file; by default predictions-SPLIT.jsonl in the run folder.
    A line holds the row and the task's predictions: a class, its name and the probabilities, or a value in the units of
    the targets. Of a series a line is a place: its time, the value that came and the forecast.
    """
    return predict_in_form(experiment, workdir, split, input, output=output, checkpoint=checkpoint, log=log)


@on_local_folder
def predict_in_form(experiment: Experiment, workdir: Path | str, split: str, input: str | None, **which: Any) -> Path:
    """Return what `predict` does, with a `form`. which: as `predict_split` and `predict_new` have it."""
    if input is None:
        return predict_split(experiment, workdir, split, **which)
    if split != "test":
        raise UserError(f"--split={split} and --input={input} both select examples; leave one of them out")
    return predict_new(experiment, workdir, input, **which)


def predict_split(
    experiment: Experiment,
    workdir: Path | str,
    split: str,
    *,
    output: str | None = None,
    form: Form = ALL,
    checkpoint: Which = "tested",
    log: Log | None = print,
) -> Path:
    """Write the predictions of a split, as `predict` does, and return the file; form: of two classes."""
    log, workdir = logger(log), local(workdir)
    target = output_file(output, workdir / f"predictions-{split}.jsonl")
    executor = prepare(experiment)
    source = experiment.dataset.load(split)
    step, state = trained(experiment, workdir, checkpoint, log)
    experiment, state = form.decided(experiment, workdir, step, log), executor.put_state(state)
    decoding = decoding_of(experiment)
    answer = decoding.step if decoding else steps.predict_step(experiment.model, experiment.task)
    size = min(evaluate_batch_size(experiment, executor.num_shards), decoding.rows if decoding else len(source))

    places = experiment.dataset.places(split) if experiment.dataset.places else None

    def lines() -> Iterator[dict[str, Any]]:
        for part in each_batch(experiment, executor, answer, split, state, size=size, count=len(source)):
            answers, targets = part.found, part.batch.targets
            if decoding:
                answers = decoding.finish(part.found)
                if decoding.text:
                    texts = decoding.texts(answers["tokens"]), decoding.texts(decoding.references(targets))
            if places:
                there = _at(places, part.rows)
                yield from _known(there, in_units(answers, experiment.dataset, there))
                continue
            answers = in_units(answers, experiment.dataset)
            for i, row in enumerate(part.rows):
                written = {"target": texts[1][i], "text": texts[0][i]} if decoding and decoding.text else {}
                yield {**line(int(row), targets, answers, i, experiment.dataset.spec), **written}

    count = write(target, lines())
    log(f"step {step}: {count} predictions in {target}")
    return target


@on_local_folder
def predict_new(
    experiment: Experiment,
    workdir: Path | str,
    data: Any,
    *,
    output: str | None = None,
    form: Form = ALL,
    checkpoint: Which = "tested",
    log: Log | None = print,
) -> Path:
    """Write the predictions of new data, in its order, and return the file.

    data:    a file, folder or pattern of the kind that was trained on, "-" for lines of standard input, or values in
             memory, see `fdl.data.modalities.new_rows`.
    output:  a .jsonl or .csv file; by default predictions-NAME.jsonl in the run folder.
    form:    what is written of each, and how sequences are searched for.
    A line holds the columns that the model does not use, such as an Id, or else the number of the row; the prediction,
    named after the target; and of classes their probabilities by name.
    """
    if isinstance(data, str) and not data:
        raise UserError("--input is empty; give a file, a folder, a pattern or - for standard input, or leave it out")
    workdir, dataset, log = local(workdir), experiment.dataset, logger(log)
    piped = isinstance(data, str) and data == STDIN
    name = "stdin" if piped else Path(data).stem if isinstance(data, str | Path) else "data"
    target = output_file(output, workdir / f"predictions-{name.strip('*?') or 'data'}.jsonl")
    rows = _from_stdin(dataset) if piped else new_rows(dataset, data)
    for note in rows.notes:
        log(note)
    step, state = trained(experiment, workdir, checkpoint, log)
    experiment = form.decided(experiment, workdir, step, log)
    model = Trained(experiment=experiment, folder=workdir, step=step, variables=variables_of(state))
    answers = model.answers(rows, form.beams)
    write(target, new_lines(rows, answers, dataset), form.columns)
    count = rows.size if rows.places is None else rows.places.naive.size
    if count <= SHOWN:
        for line in new_lines(rows, answers, dataset):
            log(shown(line, hidden=("tokens",) if "text" in answers else ()))
    elif rows.places is not None:
        for line in islice(_ahead(rows.places, answers), FORECASTS):
            log(shown(line))
    log(f"step {step}: {count} prediction{'s' * (count != 1)} in {target}")
    return target


def shown(line: Mapping[str, Any], hidden: Sequence[str] = ()) -> str:
    """Return a prediction as the terminal shows it, its numbers in four digits and without the other classes."""
    brief = {name: value for name, value in line.items() if not isinstance(value, Mapping) and name not in hidden}
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in brief.items()
    )


def _from_stdin(dataset: Dataset) -> NewRows:
    """Return what standard input holds: a table as CSV or JSON Lines, or the texts or files of media, one a line."""
    text = sys.stdin.read()
    if "inputs" in dataset.fitted and not _is_table(text, inputs_plan(dataset.fitted).column):
        return new_rows(dataset, [line for line in text.split("\n") if line.strip()])
    if not text.strip():
        raise UserError("standard input is empty; give a header and rows of CSV, or JSON Lines")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ("stdin.jsonl" if text.lstrip().startswith("{") else "stdin.csv")
        file.write_text(text, encoding="utf-8")
        return new_rows(dataset, file)


def _is_table(text: str, column: str) -> bool:
    """Say whether a text begins with a header that names the column of training beside others, or is JSON Lines."""
    first = text.lstrip().partition("\n")[0]
    names = [name.strip(' "\r') for name in re.split(r"[,;\t]", first)]
    return (len(names) > 1 and column in names) or first.startswith("{")


def new_lines(rows: NewRows, answers: Mapping[str, Any], dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield a line for each new example, or place of a series: what it carries, then what is predicted of it."""
    if rows.places is not None:
        yield from _forecasts(rows.places, answers)
        return
    goal, spec = target_name(dataset.fitted), dataset.spec
    carried = {f"{name} (given)" if name == goal else name: column for name, column in rows.carried.items()}
    for i in range(rows.size):
        kept = {name: json_value(column[i]) for name, column in carried.items()} or {"row": i}
        yield {**kept, **_answer(answers, i, goal, spec)}


def _forecasts(places: Places, answers: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a line for each place that is forecast: its time, the value that is given there, and the forecast."""
    for i, values in enumerate(answers["value"]):
        for h, value in enumerate(values.tolist()):
            labels = {name: json_value(column[i][h]) for name, column in places.carried.items()}
            yield {**labels, f"{places.name} (given)": json_value(places.given[i, h]), places.name: value}


def _known(places: Places, answers: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the forecasts of places whose value is given, and which a split is measured by."""
    given = f"{places.name} (given)"
    return (line for line in _forecasts(places, answers) if line[given] is not None)


def _ahead(places: Places, answers: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the forecasts of places whose value is not given."""
    given = f"{places.name} (given)"
    return (line for line in _forecasts(places, answers) if line.pop(given) is None)


def _at(places: Places, rows: np.ndarray) -> Places:
    """Return the places of some windows."""
    labels = {name: column[rows] for name, column in places.carried.items()}
    return replace(places, naive=places.naive[rows], given=places.given[rows], carried=labels)


def _answer(answers: Mapping[str, Any], i: int, goal: str, spec: Spec) -> dict[str, Any]:
    """Return the prediction of one example: a class by name with its probabilities, or numbers."""
    if "tags" in answers:
        return {goal or "tags": answers["tags"][i]}
    if "name" in answers and spec.names:
        of_each = dict(zip(spec.names, answers["probabilities"][i].tolist(), strict=True))
        return {
            goal or "class": answers["name"][i],
            "probability": answers["probability"][i].item(),
            "probabilities": of_each,
        }
    named = {goal or name if name in ("value", "class", "text") else name: column for name, column in answers.items()}
    return values_of(named, i)


def line(row: int, targets: Any, answers: Mapping[str, Any], i: int, spec: Spec) -> dict[str, Any]:
    """Return the output of the i-th example of a batch, with its target where that is one number."""
    found: dict[str, Any] = {"row": row}
    if isinstance(targets, np.ndarray) and targets.ndim == 1:
        found["target"] = targets[i].item() + spec.offset if spec.offset else targets[i].item()
    return {**found, **values_of(answers, i)}
