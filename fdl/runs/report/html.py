"""The report of a run as one self-contained HTML page: metrics, curves, knobs and environment."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fdl.core.types import SPLITS
from fdl.runs.report import svg_plot

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right }
th:first-child, td.words { text-align: left } td.words { overflow-wrap: anywhere }
.curves { display: flex; flex-wrap: wrap; gap: 1rem } .curves svg { width: 34rem; max-width: 100% }
.picture { overflow-x: auto } pre { white-space: pre-wrap }
.confusion td, .confusion th { min-width: 2.2rem; text-align: center }
"""
CLOCKS = ("seconds",)  # values of a log line that are times, not metrics


def html(
    report: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str] | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a finished run.

    report: report.json. lines: those of metrics.jsonl. names: of the classes, for the confusion matrix.
    pictures: heading -> SVG, of examples of the test split.
    """
    test = report["metrics"]["test"]
    body = [
        element("h1", report["experiment"]),
        f"<p>{report['step']:,} steps, {report['epoch']:.4g} epochs, {report['steps_per_second']:,.0f} steps/s, "
        f"test on n={test['n']:,.0f}{faults(report, ', ')}</p>",
        "<h2>Metrics</h2>",
        metrics(report["metrics"]),
        "<h2>Curves</h2>",
        f'<div class="curves">{"".join(learning(lines))}</div>',
    ]
    if "confusion" in test:
        body += ["<h2>Confusion on the test split</h2>", confusion(test["confusion"], names)]
    for heading, picture in (pictures or {}).items():
        body += [element("h2", heading), f'<div class="picture">{picture}</div>']
    if report.get("data"):
        body += ["<h2>How the data was read</h2>", element("pre", "\n".join(report["data"]))]
    body += ["<h2>Knobs</h2>", pairs(report["knobs"]), "<h2>Where it ran</h2>"]
    body.append(
        pairs({k: report[k] for k in ("command", "devices", "cores", "python", "platform", "versions", "commit")})
    )
    head = f'<meta charset="utf-8">{element("title", report["experiment"])}<style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def faults(report: Mapping[str, Any], before: str = "") -> str:
    """Return the cost of interruptions, after the text `before`, or nothing if there were none."""
    times = report["interruptions"]
    plural = "s" * (times > 1)
    return f"{before}lost to faults: {report['lost_seconds']:.1f} s in {times} interruption{plural}" if times else ""


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those values that are one number."""
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def metrics(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table with a row for each metric and a column for each split."""
    splits = [split for split in SPLITS if split in found]
    rows = list(dict.fromkeys(name for split in splits for name in scalars(found[split])))
    head = "".join(element("th", split) for split in splits)
    cells = {name: [f"{found[split][name]:.6g}" if name in found[split] else "" for split in splits] for name in rows}
    body = "".join(
        f"<tr>{element('th', name)}{''.join(element('td', cell) for cell in row)}</tr>" for name, row in cells.items()
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def learning(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a plot over steps for each metric of the training and validation lines."""
    series: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for line in lines:
        if line["split"] != "test":
            for name, value in scalars(line).items():
                if name not in ("step", "epoch", "n", *CLOCKS):
                    steps, values = series.setdefault(name, {}).setdefault(line["split"], ([], []))
                    steps.append(line["step"])
                    values.append(value)
    return [svg_plot.curves(found, x="step", y=name) for name, found in series.items()]


def confusion(counts: Sequence[Sequence[float]], names: Sequence[str] | None) -> str:
    """Return the confusion matrix, true class (row) by predicted class (column), shaded by the fraction of its row."""
    labels = [element("th", name) for name in names or range(len(counts))]
    rows = []
    for label, row in zip(labels, counts, strict=True):
        whole = sum(row) or 1
        shades = [f' style="background:{svg_plot.STRONG}{round(153 * n / whole):02x}"' for n in row]
        cells = "".join(element("td", f"{n:.12g}", shade) for n, shade in zip(row, shades, strict=True))
        rows.append(f"<tr>{label}{cells}</tr>")
    head = "".join(labels)
    return f'<table class="confusion"><tr><th>true \\ predicted</th>{head}</tr>{"".join(rows)}</table>'


def pairs(values: Mapping[str, Any]) -> str:
    """Return a table of names and values."""
    several = {name: value if isinstance(value, list | tuple) else (value,) for name, value in values.items()}
    shown = {name: " ".join(map(str, value)) for name, value in several.items()}
    words = ' class="words"'
    rows = (f"<tr>{element('th', name)}{element('td', value, words)}</tr>" for name, value in shown.items())
    return f"<table>{''.join(rows)}</table>"


def element(tag: str, text: object, attributes: str = "") -> str:
    """Return an HTML element with escaped text; all text from outside goes through it."""
    return f"<{tag}{attributes}>{escape(str(text))}</{tag}>"
