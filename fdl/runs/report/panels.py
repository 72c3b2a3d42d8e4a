"""Small plots of the report, as SVG in the colours of its style: axes with round ticks, lines, points and bars."""

import math
from collections.abc import Iterable, Sequence

from fdl.runs.report.svg_plot import Scale, mark, scale_of

WIDTH, HEIGHT, LEFT, BELOW, MARGIN = 460, 230, 52, 26, 12
RIGHT, BOTTOM = WIDTH - MARGIN, HEIGHT - BELOW
NARROWEST = 0.02  # of its largest number an axis spans at least this share, so that noise does not fill it
FEW = 30  # at most so many values are drawn as points


def calm(values: Sequence[float], *, logarithmic: bool = False) -> Scale:
    """Return the vertical axis of a curve: room above and below, and no narrower than noise."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if logarithmic:
        return scale_of([low / 1.15, high * 1.15], logarithmic=True)
    size = max(abs(low), abs(high))
    if size > 1e300:
        return scale_of(finite)
    spread = max(high - low, NARROWEST * size, 1e-12)
    middle, inside = (low + high) / 2, low >= 0 and high <= 1
    bottom, top = middle - 0.54 * spread, middle + 0.54 * spread
    return scale_of([max(bottom, 0.0) if low >= 0 else bottom, min(top, 1.0) if inside and high > 0.5 else top])


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
        drawn.append(f'<path class="grid" d="M{LEFT},{y:.1f} H{RIGHT}"/>{label(mark(tick), LEFT - 6, y + 4, "end")}')
    last = -math.inf
    for tick in across.ticks():
        x = x_of(across, tick)
        if x - last >= 44:
            drawn.append(label(mark(tick), min(x, RIGHT - 8), BOTTOM + 16, "middle"))
            last = x
    return "".join(drawn)


def label(words: str, x: float, y: float, anchor: str) -> str:
    """Return a text of numbers, which need no escape."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def line(xs: Sequence[float], ys: Sequence[float], across: Scale, up: Scale, kind: str) -> str:
    """Return a line, with points where there are few."""
    places = [(x_of(across, a), y_of(up, b)) for a, b in zip(xs, ys, strict=True) if math.isfinite(b)]
    drawn = f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
    return drawn + (dots(places, kind, 2.6) if len(places) <= FEW else "")


def dots(places: Iterable[tuple[float, float]], kind: str, radius: float, opacity: float = 1) -> str:
    """Return points at places of the picture."""
    return "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill-opacity="{opacity}"/>' for x, y in places
    )


def picture(body: str) -> str:
    """Return the SVG of a panel."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{body}</svg>'
