"""Small plots of the report, as SVG in the colours of its style: axes with round ticks, lines, points and bars."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from fdl.runs.report.elements import element
from fdl.runs.report.svg_plot import Scale, mark, scale_of

WIDTH, HEIGHT, LEFT, BELOW, MARGIN = 460, 230, 52, 26, 12
RIGHT, BOTTOM = WIDTH - MARGIN, HEIGHT - BELOW
NARROWEST = 0.1  # of its largest number an axis spans at least this share, so that noise does not fill it
LATE = 0.1  # of the steps: where the first point comes later, the axis begins with it
RATES = {"steps_per_second": 0.0, "examples_per_second": 0.0, "input_wait": 0.1}  # from 0 to this or more
FEW = 30  # at most so many values are drawn as points


@dataclass(frozen=True)
class Axis:
    """An axis from left to right; panels with an axis of one name show their values together."""

    name: str
    scale: Scale


def calm(values: Sequence[float], *, logarithmic: bool = False, narrowest: float = NARROWEST) -> Scale:
    """Return the vertical axis of a curve: room above and below, and no narrower than noise.

    narrowest: the share of the largest number that it spans at least.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if logarithmic:
        return scale_of([low / 1.15, high * 1.15], logarithmic=True)
    size = max(abs(low), abs(high))
    if size > 1e300:
        return scale_of(finite)
    spread = max(high - low, narrowest * size, 1e-12)
    middle, inside = (low + high) / 2, low >= 0 and high <= 1
    bottom, top = middle - 0.54 * spread, middle + 0.54 * spread
    return scale_of([max(bottom, 0.0) if low >= 0 else bottom, min(top, 1.0) if inside and high > 0.5 else top])


def of_metric(name: str, values: Sequence[float]) -> Scale:
    """Return the vertical axis of a value of log lines: of a rate or a share from zero, which alone gives it a size."""
    if name not in RATES:
        return calm(values)
    high = max((value for value in values if math.isfinite(value)), default=0.0)
    return scale_of([0.0, max(1.04 * high, RATES[name])])


def of_steps(steps: Sequence[float]) -> Scale:
    """Return the axis of steps: from 0, or from the first of them where the rest would be squeezed."""
    first, last = min(steps), max(steps)
    return scale_of([first if LATE * last < first < last else 0, last])


def x_of(scale: Scale, value: float) -> float:
    """Return where a value lies from left to right."""
    return LEFT + scale(value) * (RIGHT - LEFT)


def y_of(scale: Scale, value: float) -> float:
    """Return where a value lies from top to bottom."""
    return BOTTOM - scale(value) * (BOTTOM - MARGIN)


def axes(across: Scale, up: Scale) -> str:
    """Return grid, axis and round ticks."""
    drawn = [f'<path class="axis" d="M{LEFT},{BOTTOM} H{RIGHT}"/>']
    for tick in up.ticks():
        y = y_of(up, tick)
        drawn.append(f'<path class="grid" d="M{LEFT},{y:.1f} H{RIGHT}"/>{label(short(tick), LEFT - 6, y + 4, "end")}')
    last = -math.inf
    for tick in across.ticks():
        x = x_of(across, tick)
        if x - last >= 44:
            drawn.append(label(short(tick), min(x, RIGHT - 8), BOTTOM + 16, "middle"))
            last = x
    return "".join(drawn)


def short(value: float) -> str:
    """Return the number of a tick with few letters: 0.25, 4,500, 20k, 1.5M, 3e-05."""
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if least <= abs(value) < 1e12:
            return f"{value / unit:.4g}{letter}"
    return mark(value)


def label(words: str, x: float, y: float, anchor: str) -> str:
    """Return a text of numbers, which need no escape."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def line(xs: Sequence[float], ys: Sequence[float], across: Scale, up: Scale, kind: str, *, dotted: bool = True) -> str:
    """Return a line, with points where there are few."""
    places = [(x_of(across, a), y_of(up, b)) for a, b in zip(xs, ys, strict=True) if math.isfinite(b)]
    drawn = f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
    return drawn + (dots(places, kind, 2.6) if dotted and len(places) <= FEW else "")


def dots(places: Iterable[tuple[float, float]], kind: str, radius: float, opacity: float = 1) -> str:
    """Return points at places of the picture."""
    return "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill-opacity="{opacity}"/>' for x, y in places
    )


Series = tuple[str, Sequence[float], Sequence[float]]  # a name, xs and ys


def panel(title: str, body: str, axis: Axis | None, series: Iterable[Series] = (), more: str = "") -> str:
    """Return a plot with its title; the pointer shows the values of the series at its place on the axis.

    body: SVG. more: HTML below it.
    """
    data = ""
    if axis is not None:
        ends = {"left": LEFT, "right": RIGHT, "width": WIDTH, "top": MARGIN, "bottom": BOTTOM}
        place = {"name": axis.name, "low": axis.scale.low, "high": axis.scale.high, **ends}
        rounded = [[name, [_short(x) for x in xs], [_short(y) for y in ys]] for name, xs, ys in series]
        data = escape(json.dumps({"axis": place, "series": rounded}, separators=(",", ":")))
        data = f' data-points="{data}"'
    kind = "panel has-log" if 'class="logarithmic"' in body else "panel"
    return (
        f'<div class="{kind}"{data}>{element("h3", title)}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{body}</svg>{more}</div>'
    )


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.5g}")
