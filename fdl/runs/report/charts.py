"""What predictions of a split look like: ROC and precision-recall of two classes, errors of numbers.

Shape legend: n examples.
"""

import numpy as np

from fdl.runs.report import panels
from fdl.runs.report.curves import MOST
from fdl.runs.report.elements import element, number
from fdl.runs.report.svg_plot import scale_of

DOTS, BARS = 800, 31  # examples of a scatter plot, bars of a histogram
LATEST = 150  # forecasts of a series that are drawn
OUTSIDE = 0.5  # percent of the values at each end that an axis may leave out


def two_classes(labels: np.ndarray, scores: np.ndarray, positive: str) -> str:
    """Return the ROC and the precision-recall curve, exact and without binning: equal scores are one point.

    labels: bool[n]; scores: f[n], higher where the class `positive` is likelier. Nothing where a class is missing.
    """
    hits, alarms = _counts(np.asarray(labels, bool), np.asarray(scores, np.float64))
    if not hits[-1] or not alarms[-1]:
        return ""
    recall, false = hits / hits[-1], alarms / alarms[-1]
    area = float(np.sum(np.diff(false) * (recall[1:] + recall[:-1]) / 2))
    precision = hits[1:] / (hits[1:] + alarms[1:])
    average = float(np.sum(np.diff(recall) * precision))
    base = hits[-1] / (hits[-1] + alarms[-1])
    drawn = [
        _curve(f"ROC, area {area:.3f}", ("false positive rate", "true positive rate"), (false, recall), (0, 1)),
        _curve(
            f"Precision and recall, average precision {average:.3f}",
            ("recall", "precision"),
            (recall[1:], precision),
            (base, base),
        ),
    ]
    note = f"positive is {positive}: {hits[-1]:,.0f} of {hits[-1] + alarms[-1]:,.0f}; dashed is guessing"
    return f'<div class="curves">{"".join(drawn)}</div>' + element("p", note, ' class="note"')


def _counts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return f64[m], the true and the false positives above each distinct score, the highest first and none before."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    right, wrong = np.cumsum(labels[order])[ends], np.cumsum(~labels[order])[ends]
    return np.insert(right, 0, 0).astype(np.float64), np.insert(wrong, 0, 0).astype(np.float64)


def _curve(title: str, axes: tuple[str, str], points: tuple[np.ndarray, np.ndarray], guess: tuple[float, float]) -> str:
    """Return a curve of shares over shares with what guessing gives, from its left end to its right one."""
    whole = scale_of([0.0, 1.0])
    chosen = np.unique(np.linspace(0, len(points[0]) - 1, MOST).astype(int))
    xs, ys = (side[chosen].tolist() for side in points)
    ends = [(panels.x_of(whole, x), panels.y_of(whole, y)) for x, y in zip((0, 1), guess, strict=True)]
    dashed = f'<path class="best" d="M{ends[0][0]:.1f},{ends[0][1]:.1f} L{ends[1][0]:.1f},{ends[1][1]:.1f}"/>'
    line = panels.line(xs, ys, whole, whole, "s0", dotted=False)
    return panels.panel(
        title, panels.axes(whole, whole) + dashed + line, panels.Axis(axes[0], whole), [(axes[1], xs, ys)]
    )


def of_numbers(true: np.ndarray, predicted: np.ndarray) -> str:
    """Return predicted against true values, and how the errors are spread. true, predicted: f[n], in their units."""
    true, predicted = (np.asarray(side, np.float64).reshape(-1) for side in (true, predicted))
    finite = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[finite], predicted[finite]
    if len(true) < 2:
        return ""
    return f'<div class="curves">{_against(true, predicted)}{_errors(predicted - true)}</div>'


def forecasts(name: str, true: np.ndarray, predicted: np.ndarray) -> str:
    """Return the last forecasts of a series and what came, in order of time. true, predicted: f[n]; NaN is unknown."""
    finite = np.isfinite(true) & np.isfinite(predicted)
    came, forecast = (side[finite][-LATEST:].tolist() for side in (true, predicted))
    if len(came) < 2:
        return ""
    xs = list(range(len(came)))
    across, up = scale_of([0, len(came) - 1]), panels.calm([*came, *forecast], narrowest=0.0)
    lines = panels.line(xs, came, across, up, "s1", dotted=False) + panels.line(xs, forecast, across, up, "s0")
    some = f", the last {LATEST} of {int(finite.sum()):,}" if finite.sum() > LATEST else ""
    axis = panels.Axis("place", across)
    body = panels.axes(across, up) + lines
    drawn = panels.panel(
        f"{name}: forecast and what came{some}", body, axis, [("came", xs, came), ("forecast", xs, forecast)]
    )
    return f'<div class="curves">{drawn}</div>'


def _against(true: np.ndarray, predicted: np.ndarray) -> str:
    """Return a scatter plot of predicted over true values with the diagonal."""
    low, high = float(true.min()), float(true.max())
    inside = np.percentile(predicted, [OUTSIDE, 100 - OUTSIDE])
    both = panels.calm([min(low, inside[0]), max(high, inside[1])], narrowest=0.0)
    chosen = np.unique(np.linspace(0, len(true) - 1, DOTS).astype(int))
    clipped = np.clip(predicted, both.low, both.high)
    places = [(panels.x_of(both, true[i]), panels.y_of(both, clipped[i])) for i in chosen]
    ends = [(f(both, edge)) for edge in (both.low, both.high) for f in (panels.x_of, panels.y_of)]
    diagonal = f'<path class="best" d="M{ends[0]:.1f},{ends[1]:.1f} L{ends[2]:.1f},{ends[3]:.1f}"/>'
    some = f", {DOTS} of {len(true):,}" if len(true) > DOTS else ""
    beyond = int((clipped != predicted).sum())
    note = (
        element("p", f"{beyond:,} predictions are beyond the edge and drawn at it", ' class="note"') if beyond else ""
    )
    body = panels.axes(both, both) + diagonal + panels.dots(places, "s0", 2.4, 0.55)
    return panels.panel(f"Predicted over true{some}", body, None, more=note)


def _errors(errors: np.ndarray) -> str:
    """Return a histogram of the errors; what is beyond its ends is counted in the last bars."""
    low, high = np.percentile(errors, [OUTSIDE, 100 - OUTSIDE])
    side = max(abs(low), abs(high), 1e-300)
    edges = np.linspace(-side, side, BARS + 1)
    heights, _ = np.histogram(np.clip(errors, -side, side), edges)
    across, up = scale_of([-side, side]), scale_of([0.0, float(heights.max()) * 1.05])
    bars = []
    for i, height in enumerate(heights):
        left, right = panels.x_of(across, edges[i]), panels.x_of(across, edges[i + 1])
        top = panels.y_of(up, float(height))
        title = element("title", f"{number(edges[i])} to {number(edges[i + 1])}: {height:,}")
        size = f'width="{right - left - 1:.1f}" height="{panels.BOTTOM - top:.1f}"'
        bars.append(f'<rect class="bar s0" x="{left:.1f}" y="{top:.1f}" {size}>{title}</rect>')
    zero = panels.x_of(across, 0.0)
    middle = f'<path class="best" d="M{zero:.1f},{panels.MARGIN} V{panels.BOTTOM}"/>'
    title = f"Residuals, predicted less true: median {number(float(np.median(errors)))}"
    return panels.panel(title, panels.axes(across, up) + "".join(bars) + middle, None)
