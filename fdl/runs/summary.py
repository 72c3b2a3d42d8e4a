"""What a run folder says of its run, finished or not, from its files alone: what runs are compared by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fdl.core.differences import flat
from fdl.core.errors import UserError
from fdl.pages import CODE, IMPORTS, PARTS
from fdl.runs import lock
from fdl.runs.atomic_files import read_json
from fdl.runs.metrics_log import lines
from fdl.runs.workdir import RENAMED, read_report

HEAD = ("experiment", "dataset", "task")  # of an identity, what its knobs are of
DATA = ("examples", "fitted", "files", CODE, IMPORTS)  # of an identity, what no knob of one experiment changes
MEMBERS = "_members"  # ending of the values that hold a number for each member of a population


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One run, or one member of a population.

    name:    to be shown. folder: of the run.
    status:  "finished", or why it is not.
    knobs:   what was chosen: experiment, dataset, task and every knob.
    rest:    what else the results depend on: digests of data and page, parts that no page answers for, versions.
    metrics: split -> name -> value, the last of each split.
    primary: the metric the run is judged by. better: which direction is better.
    numbers: step, best step, epochs, seconds of training, steps/s; NaN where unknown.
    log:     the lines of metrics.jsonl.
    members: of a population's report.
    """

    name: str
    folder: Path
    status: str
    knobs: Mapping[str, Any]
    rest: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    primary: str
    better: str
    numbers: Mapping[str, float]
    log: Sequence[Mapping[str, Any]]
    members: Sequence[Mapping[str, Any]] = ()

    @property
    def score(self) -> float:
        """The primary metric on validation as a number of which more is better; -inf where there is none."""
        return score(self.metrics.get("validation", {}).get(self.primary), self.better)


def score(value: Any, better: str | None) -> float:
    """Return a metric as a number of which more is better; -inf for what is no number, which JSON has as null."""
    if not isinstance(value, int | float) or math.isnan(value):
        return -math.inf
    return -value if better == "lower" else value


def is_run(folder: Path) -> bool:
    """Say whether a folder is that of a run."""
    return (folder / "experiment.json").is_file()


def summarize(folder: Path, name: str) -> Summary:
    """Return the summary of a run folder; raise a UserError where it says of no run what it is."""
    kept = read_json(folder / "experiment.json")
    identity = kept.get("identity") if isinstance(kept, dict) else None
    if not isinstance(identity, dict):
        raise UserError(f"{folder / 'experiment.json'} does not say whose run this is; leave that folder out")
    log = lines(folder / "metrics.jsonl")
    report, status = _report_of(folder, identity, log)
    metrics = report.get("metrics") or {line["split"]: line for line in log}
    numbers = {
        "step": report.get("step", max((line["step"] for line in log), default=0)),
        "best step": report.get("best_step"),
        "epochs": report.get("epoch", max((_number(line.get("epoch", 0.0)) for line in log), default=0.0)),
        "training seconds": report.get("training_seconds"),
        "steps/s": report.get("steps_per_second"),
    }
    primary = report.get("primary", "loss")
    return Summary(
        name=name,
        folder=folder,
        status=status,
        knobs=chosen(identity),
        rest={**_rest(identity), **_environment(kept), **{key: report.get(key) for key in ("patience", "minutes")}},
        metrics=metrics,
        primary=primary,
        better=report.get("better") or "lower",
        numbers={key: _number(value) for key, value in numbers.items()},
        log=log,
        members=report.get("members", ()),
    )


def members_of(population: Summary) -> list[Summary]:
    """Return a summary for each member of a population that has a report."""

    def member(index: int, values: Mapping[str, Any]) -> Summary:
        settings = {name: value for name, value in values.items() if name not in ("validation", "test")}
        return replace(
            population,
            name=f"member {index}",
            knobs={**population.knobs, **settings},
            metrics={split: values[split] for split in ("validation", "test")},
            numbers={name: population.numbers[name] for name in ("step", "epochs")},
            log=[_of_member(line, index) for line in population.log],
            members=(),
        )

    return [member(index, values) for index, values in enumerate(population.members)]


def _of_member(line: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the log line of one member from that of its population."""
    numbers = {
        name.removesuffix(MEMBERS): values[index]
        for name, values in line.items()
        if name.endswith(MEMBERS) and index < len(values)
    }
    return {name: line[name] for name in ("step", "epoch", "split") if name in line} | numbers


def _report_of(
    folder: Path, identity: Mapping[str, Any], log: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Return the report and the status of a run; an empty report where it has not finished."""
    if (folder / "report.json").exists():
        try:
            report = read_report(folder / "report.json")
        except UserError:
            return {}, "its report.json is damaged"
        return report, f"stopped after {report['stopped']}" if report.get("stopped") else "finished"
    at = f"step {max((line['step'] for line in log), default=0)} of {identity.get('steps', '?')}"
    if lock.is_held(folder):
        return {}, f"running, {at}"
    return {}, f"not finite, {at}" if (folder / "nonfinite.json").exists() else f"unfinished, {at}"


def chosen(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was chosen of a run; the number of steps is left out where epochs are chosen."""
    derived = {PARTS, *DATA, *(("steps",) if "epochs" in identity else ())}
    knobs = {name: value for name, value in identity.items() if name not in derived}
    return {RENAMED.get(name, name): value for name, value in knobs.items()}


def _rest(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the digests of an identity, and its parts where no page answers for them, by dotted names."""
    parts = {} if identity.get(CODE) else identity.get(PARTS) or {}
    return flat({**{name: identity.get(name) for name in DATA}, **parts})


def _environment(kept: Mapping[str, Any]) -> dict[str, Any]:
    versions = kept.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    return {"devices": kept.get("devices"), **{name: versions.get(name) for name in ("fdl", "jax")}}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
