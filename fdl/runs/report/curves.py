"""The curves of a run over its steps: one panel for each metric, all with the same axis of steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fdl.core.types import SPLITS
from fdl.runs.report import panels
from fdl.runs.report.elements import element
from fdl.runs.report.svg_plot import Scale

MOST = 400  # points of a line: more are no wider than a pixel
# Values of a log line that are no curve, that of the steps again, or chosen on validation and no measure.
LEFT_OUT = ("step", "epoch", "n", "seconds", "examples_per_second", "threshold", "temperature")
LEAST_WAIT = 0.01  # share of the time: a training that waits less for its input has no panel of it

Series = dict[str, tuple[list[float], list[float]]]  # name of a split -> steps and values


def curves(lines: Sequence[Mapping[str, Any]], first: Sequence[str] = (), best: int | None = None) -> str:
    """Return all panels with their legend; nothing where no step was logged.

    lines: of metrics.jsonl. first: the metrics to show first. best: the step to mark.
    """
    found, gaps = _series(lines)
    if not found:
        return ""
    steps = [step for one in found.values() for xs, _ in one.values() for step in xs]
    across = panels.of_steps(steps)
    alone = {name: not ({*found[name]} - {"train"}) for name in found}  # what training alone has, such as its speed
    names = sorted(found, key=lambda name: (first.index(name) if name in first else len(first), alone[name]))
    shown = "".join(_panel(name, found[name], across, best, gaps.get(name, 0)) for name in names)
    splits = [split for split in SPLITS if any(split in one for one in found.values())]
    splits += sorted({split for one in found.values() for split in one} - set(splits))
    keys = "".join(element("span", split, f' class="key {_colour(split)}"') for split in splits)
    mean = '<span class="note">train: means since the point before · </span>' if "train" in splits else ""
    marked = f'<span class="note">┆ best by validation: step {best:,}</span>' if best is not None else ""
    return (
        f'<input type="checkbox" id="log"> <label for="log">logarithmic</label>'
        f'<p class="keys">{keys}{mean}{marked}</p><div class="curves">{shown}</div>'
    )


def _series(lines: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Series], dict[str, int]]:
    """Return the values of each metric by split, and how many of each are not finite (null in the file)."""
    found: dict[str, Series] = {}
    gaps: dict[str, int] = {}
    for line in lines:
        if line["split"] == "test":
            continue
        for name, value in line.items():
            if name in (*LEFT_OUT, "split"):
                continue
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                gaps[name] = gaps.get(name, 0) + 1
            elif isinstance(value, int | float):
                xs, ys = found.setdefault(name, {}).setdefault(line["split"], ([], []))
                xs.append(line["step"])
                ys.append(value)
    waits = [value for _, values in found.get("input_wait", {}).values() for value in values]
    if max(waits, default=1.0) < LEAST_WAIT:
        del found["input_wait"]
    return found, gaps


def _panel(name: str, series: Series, across: Scale, best: int | None, gaps: int) -> str:
    """Return the plot of one metric, with a logarithmic twin where all its values are positive."""
    thin = {split: thinned(*points) for split, points in series.items()}
    values = [value for _, ys in thin.values() for value in ys]
    drawn = f'<g class="linear">{_drawn(thin, across, panels.of_metric(name, values), best)}</g>'
    positive = min(values) > 0 and max(values) / min(values) > 1.5
    if positive:
        drawn += f'<g class="logarithmic">{_drawn(thin, across, panels.calm(values, logarithmic=True), best)}</g>'
    note = element("p", f"{gaps} values are not finite and left out", ' class="note miss"') if gaps else ""
    points = [(split, xs, ys) for split, (xs, ys) in thin.items()]
    return panels.panel(name.replace("_", " "), drawn, panels.Axis("step", across), points, note)


def _drawn(series: Series, across: Scale, up: Scale, best: int | None) -> str:
    """Return what a panel shows on one vertical axis."""
    drawn = [panels.axes(across, up)]
    if best is not None and across.low <= best <= across.high:
        x = panels.x_of(across, best)
        drawn.append(f'<path class="best" d="M{x:.1f},{panels.MARGIN} V{panels.BOTTOM}"/>')
    drawn += [panels.line(xs, ys, across, up, _colour(split)) for split, (xs, ys) in series.items()]
    return "".join(drawn)


def _colour(split: str) -> str:
    return f"s{SPLITS.index(split)}" if split in SPLITS else "s3"


def thinned(xs: list[float], ys: list[float]) -> tuple[list[float], list[float]]:
    """Return at most MOST points, of each stretch the lowest and the highest, so that no peak is lost."""
    if len(xs) <= MOST:
        return xs, ys
    size = math.ceil(2 * len(xs) / MOST)
    kept: list[int] = []
    for start in range(0, len(xs), size):
        part = range(start, min(start + size, len(xs)))
        kept += sorted({min(part, key=ys.__getitem__), max(part, key=ys.__getitem__)})
    return [xs[i] for i in kept], [ys[i] for i in kept]
