"""The comparison of runs as one self-contained HTML page: a table that sorts, and their curves in one plot each."""

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from fdl.runs.comparison import Cell, Column, Line, columns, curves, shared
from fdl.runs.report import panels
from fdl.runs.report.elements import element, section
from fdl.runs.report.style import STYLE
from fdl.runs.summary import Summary

MOST = 60  # curves in a plot
TABLE_STYLE = """
.runs th[data-column] { cursor: pointer; vertical-align: bottom; user-select: none }
.runs th:hover { color: var(--ink) }
.runs td:first-child { text-align: left; padding-left: 0 } .runs td.main { font-weight: 600 } a { color: inherit }
.difference { font-weight: 400; font-size: 85%; margin-left: .4rem; color: var(--soft) }
.difference.better { color: var(--good) } .difference.worse { color: var(--bad) }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .5rem;
  background: var(--c) }
.runs tr.on td { background: color-mix(in srgb, var(--s0) 12%, var(--card)) } .curves g.dim { opacity: .12 }
.curves g.on polyline { stroke-width: 3.5 }
"""
# Sorts by the column whose title is clicked, missing values last, and marks the curves of the row under the pointer.
SCRIPT = """
const body = document.querySelector(".runs tbody");
document.querySelectorAll(".runs th[data-column]").forEach(th => th.onclick = () => {
  const down = th.dataset.down = th.dataset.down === "1" ? "0" : "1", i = +th.dataset.column;
  const key = row => row.cells[i].dataset.value ?? "";
  const order = (a, b) => (a === "") - (b === "") || (down === "1" ? -1 : 1) * (isNaN(a) || isNaN(b)
    ? a.localeCompare(b) : a - b);
  [...body.rows].sort((a, b) => order(key(a), key(b))).forEach(row => body.append(row));
});
const mark = on => document.querySelectorAll(".curves g[data-run], .runs tr[data-run]").forEach(x => {
  x.classList.toggle("on", x.dataset.run === on);
  x.classList.toggle("dim", on !== undefined && x.dataset.run !== on);
});
document.querySelectorAll("[data-run]").forEach(x => {
  x.onmouseenter = () => mark(x.dataset.run); x.onmouseleave = () => mark();
});
"""


def html(runs: Sequence[Summary], page: Path) -> str:
    """Return the page that compares these runs, the first row being what the others differ from.

    page: the file it is written to, for links to the reports beside it.
    """
    title = f"{len(runs)} runs compared"
    common = ", ".join(f"{name} {value}" for name, value in shared(runs).items())
    note = f"Differences are to {runs[0].name}. A click on a title sorts." if len(runs) > 1 else ""
    note += f" Curves are of the first {MOST} rows." if len(runs) > MOST else ""
    rows = f'<div class="wide runs">{table(runs, columns(runs), page)}</div><p class="note">{escape(note)}</p>'
    parts = [f"<header>{element('h1', title)}{element('p', f'All: {common}') if common else ''}</header>"]
    parts.append(section("Runs", rows))
    for split in ("validation", "train"):
        drawn = "".join(_panel(name, found, runs) for name, found in curves(runs[:MOST], split).items())
        parts.append(section(f"Curves of {split}", f'<div class="curves">{drawn}</div>' if drawn else ""))
    head = f'<meta charset="utf-8">{element("title", title)}<style>{STYLE}{TABLE_STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(filter(None, parts))
    script = f"<script>{SCRIPT}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n{script}</body></html>\n'


def _panel(name: str, found: Sequence[Line], runs: Sequence[Summary]) -> str:
    """Return the plot of one metric with a line for each run, a group that the script finds by its row."""
    steps = [step for _, xs, _ in found for step in xs]
    across = panels.of_steps(steps)
    up = panels.of_metric(name, [value for _, _, ys in found for value in ys])
    drawn = [panels.axes(across, up)]
    for row, xs, ys in found:
        line = element("title", runs[row].name) + panels.line(xs, ys, across, up, "")
        drawn.append(f'<g data-run="{row}"{_colour(row)}>{line}</g>')
    return panels.panel(name.replace("_", " "), "".join(drawn), None)


def _colour(row: int) -> str:
    """Return the colour of a row as an attribute: hues a golden angle apart, so that neighbours always differ."""
    return f' style="--c: hsl({(row * 137.508 + 212) % 360:.0f} 65% 52%)"'


def table(runs: Sequence[Summary], shown: Sequence[Column], page: Path) -> str:
    """Return the table, one row a run."""
    titles = ["run", *(column.title for column in shown)]
    head = "".join(element("th", title, f' data-column="{i}"') for i, title in enumerate(titles))
    rows = []
    for row, run in enumerate(runs):
        cells = "".join(_cell(column.cells[row], column.main) for column in shown)
        rows.append(f'<tr data-run="{row}">{_name(row, run, page)}{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _name(row: int, run: Summary, page: Path) -> str:
    report = run.folder / "report.html"
    link = {"href": Path(os.path.relpath(report, page.parent)).as_posix()} if report.exists() else {}
    swatch = f'<span class="swatch"{_colour(row)}></span>'
    text = element("a", run.name, _attributes(link)) if link else element("span", run.name)
    return f"<td{_attributes({'data-value': run.name})}>{swatch}{text}</td>"


def _cell(cell: Cell, main: bool) -> str:
    kind = {True: " better", False: " worse", None: ""}[cell.better]
    less = element("span", cell.difference, f' class="difference{kind}"') if cell.difference else ""
    none = isinstance(cell.value, float) and math.isnan(cell.value)
    value = {} if none else {"data-value": f"{cell.value}"}
    return f"<td{_attributes({**value, **({'class': 'main'} if main else {})})}>{element('span', cell.text)}{less}</td>"


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f' {name}="{escape(value)}"' for name, value in values.items())
