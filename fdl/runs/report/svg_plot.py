"""Plots as SVG text: lines and scatter plots."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BELOW, MARGIN = 640, 360, 70, 50, 15
INK, PALE, STRONG = "#333", "#9bb8d8", "#1f4e8c"
_LARGEST = 1e300  # values are clipped to it, since differences of larger ones overflow
COLOURS = (STRONG, "#c8501e", "#3a7d44", "#7a4ea3")
BOX = "#ffb000"  # seen on any picture


def lines(xs: Sequence[float], series: Sequence[Sequence[float]], *, x: str, y: str) -> str:
    """Return a plot of one thin line per series over `xs`, and their mean as a thick one."""
    across, up = scale_of(xs), scale_of([value for one in series for value in one])
    mean = [sum(column) / len(column) for column in zip(*series, strict=True)]
    drawn = [_line(xs, one, across, up, PALE, 1) for one in series]
    return _frame([*drawn, _line(xs, mean, across, up, STRONG, 3)], across, up, x, y)


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str, logarithmic: bool = False
) -> str:
    """Return a plot with one labelled line per `(xs, ys)`; the axis of the xs may be logarithmic."""
    every_x, every_y = ([value for pair in series.values() for value in pair[i]] for i in (0, 1))
    across, up = scale_of(every_x, logarithmic=logarithmic), scale_of(every_y)
    drawn = []
    for i, (name, (xs, ys)) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        drawn.append(_line(xs, ys, across, up, colour, 2))
        drawn.append(text(name, WIDTH - MARGIN, HEIGHT / 2 + 16 * i, "end", colour))
    return _frame(drawn, across, up, x, y)


def points(xs: Sequence[float], ys: Sequence[float], *, x: str, y: str) -> str:
    """Return a scatter plot; xs that span two decades or more get a logarithmic axis."""
    across, up = scale_of(xs, logarithmic=min(xs) > 0 and max(xs) / min(xs) >= 100), scale_of(ys)
    dots = [
        f'<circle cx="{_x(across, a):.1f}" cy="{_y(up, b):.1f}" r="4" fill="{STRONG}" fill-opacity="0.7"/>'
        for a, b in zip(xs, ys, strict=True)
        if math.isfinite(b)
    ]
    return _frame(dots, across, up, x, y)


def growth(xs: Sequence[float], ys: Sequence[float], *, x: str, y: str) -> str:
    """Return a log-log plot; proportional growth has a slope of one."""
    middle = math.sqrt(min(ys) * max(ys))
    decade = [middle / math.sqrt(10), middle * math.sqrt(10)]  # at least: noise must not fill the axis
    across, up = scale_of(xs, logarithmic=True, marks=xs), scale_of([*ys, *decade], logarithmic=True)
    dots = [
        f'<circle cx="{_x(across, a):.1f}" cy="{_y(up, b):.1f}" r="4" fill="{STRONG}"/>'
        for a, b in zip(xs, ys, strict=True)
    ]
    return _frame([_line(xs, ys, across, up, STRONG, 2), *dots], across, up, x, y)


class Scale:
    """Maps numbers from the axis range to [0, 1]."""

    def __init__(self, low: float, high: float, logarithmic: bool, marks: Sequence[float] | None):
        self.low, self.high, self.logarithmic, self.marks = low, high, logarithmic, marks

    def __call__(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one."""
        low, high, value = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Return the given ticks, or a few round numbers: 1, 2 or 5 times a power of ten."""
        if self.marks is not None:
            return list(self.marks)
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            firsts = (1, 2, 5) if last - first <= 3 else (1,)
            round_ones = [digit * 10.0**power for power in range(first, last + 1) for digit in firsts]
            return [number for number in round_ones if self.low <= number <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
        return [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def scale_of(values: Sequence[float], *, logarithmic: bool = False, marks: Sequence[float] | None = None) -> Scale:
    """Return the axis over the finite values; one value alone has its place, and huge ones are clipped."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = max(min(finite), -_LARGEST), min(max(finite), _LARGEST)
    if high - low <= max(1e-12 * max(abs(low), abs(high)), 1e-300):  # constant, or nearly: doubles end after 15 digits
        high = low + max(1.0, abs(low) / 2)
    return Scale(low, high, logarithmic, marks)


def mark(value: float) -> str:
    """Format a tick label: step counts as integers, not as 2.5e+03."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}".replace("e+0", "e")


def _x(scale: Scale, value: float) -> float:
    return LEFT + scale(value) * (WIDTH - LEFT - MARGIN)


def _y(scale: Scale, value: float) -> float:
    return HEIGHT - BELOW - scale(value) * (HEIGHT - BELOW - MARGIN)


def _line(xs: Sequence[float], ys: Sequence[float], across: Scale, up: Scale, colour: str, width: int) -> str:
    places = " ".join(f"{_x(across, a):.1f},{_y(up, b):.1f}" for a, b in zip(xs, ys, strict=True) if math.isfinite(b))
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def text(words: str, x: float, y: float, anchor: str, colour: str = INK, transform: str = "") -> str:
    """Return an SVG text element, escaped; all text goes through it."""
    place = transform or f'x="{x:.1f}" y="{y:.1f}"'
    style = f'fill="{colour}" font-family="sans-serif" font-size="12"'
    return f'<text {place} text-anchor="{anchor}" {style}>{escape(words)}</text>'


def _frame(drawn: list[str], across: Scale, up: Scale, x: str, y: str) -> str:
    bottom = HEIGHT - BELOW
    marks = [text(mark(tick), _x(across, tick), bottom + 18, "middle") for tick in across.ticks()]
    marks += [text(mark(tick), LEFT - 8, _y(up, tick) + 4, "end") for tick in up.ticks()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<path d="M{LEFT},{MARGIN} V{bottom} H{WIDTH - MARGIN}" fill="none" stroke="{INK}"/>',
            *drawn,
            *marks,
            text(x, (LEFT + WIDTH) / 2, HEIGHT - 10, "middle"),
            text(y, 0, 0, "middle", transform=f'transform="translate(14 {bottom / 2}) rotate(-90)"'),
            "</svg>\n",
        ]
    )
