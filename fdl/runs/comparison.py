"""Runs compared: the knobs that differ, the metrics and their differences, as a table of cells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from fdl.runs.report.curves import LEFT_OUT, thinned
from fdl.runs.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell. text: what it shows. difference: to the first row. value: what it is sorted by; NaN comes last."""

    text: str
    difference: str = ""
    value: float | str = math.nan
    better: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its title, its cells from the first row on, and whether it holds what runs are judged by."""

    title: str
    cells: Sequence[Cell]
    main: bool = False


def columns(runs: Sequence[Summary]) -> list[Column]:
    """Return the columns of a comparison: the metrics that judge, the knobs that differ, then all other numbers."""
    judged = dict.fromkeys(run.primary for run in runs)
    main = [(split, name) for name in judged for split in ("validation", "test")]
    others = [(split, name) for split in ("validation", "test") for name in _names(runs, split)]
    statuses = [run.status for run in runs]
    return [
        *(_metric(runs, split, name, main=True) for split, name in main if name in _names(runs, split)),
        *(_knob(runs, name) for name in differing(runs)),
        *([_words("status", statuses)] if set(statuses) != {"finished"} else []),
        *(_metric(runs, split, name) for split, name in others if (split, name) not in main),
        *(_numbers(runs, name) for name in runs[0].numbers),
    ]


def differing(runs: Sequence[Summary]) -> list[str]:
    """Return the names of the knobs that differ, and of what else does where the runs are of one experiment."""
    knobs = [name for name in _all(run.knobs for run in runs) if _differs([run.knobs.get(name) for run in runs])]
    one = len({str(run.knobs.get("experiment")) for run in runs}) == 1
    rest = [name for name in _all(run.rest for run in runs) if _differs([run.rest.get(name) for run in runs])]
    return [*knobs, *(name for name in rest if one or name in ("devices", "fdl", "jax"))]


def shared(runs: Sequence[Summary]) -> dict[str, str]:
    """Return what all runs have in common, to be said once."""
    both = [{**run.knobs, **run.rest} for run in runs]
    names = ("experiment", "dataset", "task", "devices", "fdl")
    return {name: shown(both[0].get(name)) for name in names if not _differs([one.get(name) for one in both])}


def shown(value: Any) -> str:
    """Return a knob as people write it; of a long list its ends."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        values = [shown(one) for one in value]
        return ",".join(values) if len(values) <= 4 else f"{len(values)} from {values[0]} to {values[-1]}"
    return str(value)


def _all(mappings: Any) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _names(runs: Sequence[Summary], split: str) -> list[str]:
    """Return the metrics of a split that are numbers, in the order of the runs."""
    found = _all(run.metrics.get(split, {}) for run in runs)
    deviations = {name for name in found if name.endswith("_std") and name.removesuffix("_std") in found}
    hidden = {*LEFT_OUT, "split", *deviations}
    return [name for name in found if name not in hidden and any(_is_number(_value(run, split, name)) for run in runs)]


def _value(run: Summary, split: str, name: str) -> Any:
    return run.metrics.get(split, {}).get(name)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differs(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _metric(runs: Sequence[Summary], split: str, name: str, main: bool = False) -> Column:
    """Return the column of one metric, with the differences to the first row."""
    directions = {run.primary: run.better for run in reversed(runs)} | {"loss": "lower"}
    cells = []
    for run in runs:
        value, first = _value(run, split, name), _value(runs[0], split, name)
        if not _is_number(value):
            cells.append(Cell(text="" if value is None and name not in run.metrics.get(split, {}) else "nan"))
            continue
        deviation = _value(run, split, f"{name}_std")
        spread = f" ± {deviation:.2g}" if _is_number(deviation) else ""
        less = value - first if _is_number(first) and run is not runs[0] else math.nan
        way = directions.get(name)
        cells.append(
            Cell(
                text=f"{value:.4g}{spread}",
                difference="" if math.isnan(less) else f"{less:+.2g}" if less else "=",
                value=float(value),
                better=None if way is None or not abs(less) > 0 else (less > 0) == (way == "higher"),
            )
        )
    return Column(title=f"{split} {name}", cells=cells, main=main)


def _knob(runs: Sequence[Summary], name: str) -> Column:
    values = [{**run.rest, **run.knobs}.get(name) for run in runs]
    sortable = [float(value) if _is_number(value) else shown(value) for value in values]
    return Column(
        title=name,
        cells=[Cell(text=shown(value), value=key) for value, key in zip(values, sortable, strict=True)],
    )


def _words(title: str, texts: Sequence[str]) -> Column:
    return Column(title=title, cells=[Cell(text=text, value=text) for text in texts])


def _numbers(runs: Sequence[Summary], name: str) -> Column:
    values: list[float] = [run.numbers.get(name, math.nan) for run in runs]
    cells = [Cell(text="" if math.isnan(value) else f"{value:,.4g}", value=value) for value in values]
    return Column(title=name, cells=cells)


Line = tuple[int, list[float], list[float]]  # the row of a run, steps and values


def curves(runs: Sequence[Summary], split: str) -> Mapping[str, list[Line]]:
    """Return metric -> a line of each run that logged it on a split, of few points."""
    found: dict[str, list[Line]] = {}
    for row, run in enumerate(runs):
        log = [line for line in run.log if line["split"] == split]
        for name in _all(log):
            at = [(float(line["step"]), float(line[name])) for line in log if _is_number(line.get(name))]
            if name not in (*LEFT_OUT, "split") and not name.endswith("_std") and at:
                steps, values = thinned([step for step, _ in at], [value for _, value in at])
                found.setdefault(name, []).append((row, steps, values))
    return found
