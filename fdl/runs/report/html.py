"""The report of a run as one self-contained HTML page: what came out, curves, examples, settings, environment."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from fdl.core.types import SPLITS
from fdl.runs.report.confusion import confusion, per_class
from fdl.runs.report.curves import curves
from fdl.runs.report.elements import duration, element, pairs, section, speed, table
from fdl.runs.report.style import SCRIPT, STYLE

ENVIRONMENT = ("command", "devices", "cores", "python", "platform", "commit")
FEW = 10  # classes whose matrix is beside their table
RELOAD = 10  # seconds after which the page of a run in progress is read anew
VERDICTS = {"running": "in training", "stopped": "stopped", "failed": "failed", "finished": "finished"}


def html(
    report: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str] | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a run; what it does not hold yet, as before its end, is left out.

    report: report.json, or what is known of it; `status` is "finished" (if missing), "running", "stopped" or "failed",
    and `why` says why. lines: those of metrics.jsonl. names: of the classes, for the confusion matrix.
    pictures: heading -> HTML or SVG, of examples of the test split.
    """
    found = report.get("metrics") or {}
    counts = next(
        (found[split]["confusion"] for split in ("test", "validation") if "confusion" in found.get(split, {})), None
    )
    title = str(report["experiment"])
    first = ("loss", str(report.get("primary", "")))
    body = [
        _header(report, title),
        _tiles(report),
        section("Metrics", metrics(found, report.get("baselines") or (), first=_heads(report)) + _tested(report)),
        section("Curves", curves(lines, first, report.get("best_step"))),
    ]
    if counts:
        classes = section("Confusion", confusion(counts, names)), section("Classes", per_class(counts, names))
        body += [_beside(*classes)] if len(counts) <= FEW else classes
    for heading, picture in (pictures or {}).items():
        body.append(section(heading, _framed(picture)))
    body += [
        _beside(
            section("Data", element("pre", "\n".join(report.get("data") or ())) if report.get("data") else ""),
            section("Model", element("pre", report["model"], ' class="wide"') if report.get("model") else ""),
        ),
        _beside(section("Knobs", pairs(report.get("knobs") or {})), section("Environment", _environment(report))),
        section("What next", _next(report)),
    ]
    again = f'<meta http-equiv="refresh" content="{RELOAD}">' if report.get("status") == "running" else ""
    phone = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{phone}{again}{element("title", title)}<style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'
        + "\n".join(filter(None, body))
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _header(report: Mapping[str, Any], title: str) -> str:
    """Return the name, the verdict, and when, how long and where the run trained."""
    status = report.get("status", "finished")
    why = report.get("why") or report.get("stopped") or ""
    verdict = f"{VERDICTS[status]}{': ' if why else ''}{why}"
    facts = [
        str(report.get("date") or ""),
        f"{report['step']:,} steps, {report['epoch']:.4g} epochs",
        duration(report["training_seconds"]) + " of training" if "training_seconds" in report else "",
        speed(report["steps_per_second"]) if "steps_per_second" in report else "",
        f"test on n={report['metrics']['test']['n']:,.0f}" if "test" in (report.get("metrics") or {}) else "",
        str(report.get("devices") or ""),
        faults(report),
    ]
    line = element("p", " · ".join(filter(None, facts)))
    kind = f' class="verdict {status}"'
    warned = element("div", report["verdict"], ' class="verdict stopped"') if report.get("verdict") else ""
    return f"<header>{element('h1', title)}{line}{element('div', verdict, kind)}{warned}</header>"


def _beside(*sections: str) -> str:
    """Return sections beside each other where there is room."""
    return f'<div class="beside">{"".join(sections)}</div>' if any(sections) else ""


def _tested(report: Mapping[str, Any]) -> str:
    """Return a line about the states that the splits were measured on, where these are not one."""
    best, last = report.get("best_step"), report["step"]
    if report.get("tested") != "best" or best in (None, last) or "test" not in (report.get("metrics") or {}):
        return ""
    said = f"test and validation: of the best state, step {best:,}; train: of the steps before the last, {last:,}"
    return element("p", said, ' class="note"')


def _heads(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metrics that are shown first: the one that a run is judged by, the primary one and the loss."""
    return tuple(dict.fromkeys(filter(None, (report.get("judged_by"), report.get("primary"), "loss"))))


def _tiles(report: Mapping[str, Any]) -> str:
    """Return the few numbers that everybody asks for: the first metrics on the test split, and its n."""
    found = report.get("metrics") or {}
    split = next((split for split in reversed(SPLITS) if split in found), None)
    if split is None:
        return ""
    values, tiles = found[split], []
    for name in (*_heads(report), "n"):
        if isinstance(values.get(name), int | float):
            shown = _digits(values[name])
            caption = f"{split} {name.replace('_', ' ')}" if name != "n" else f"{split} examples"
            tiles.append(f'<div class="tile">{element("b", shown)}{element("span", caption)}</div>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _framed(picture: str) -> str:
    """Return an SVG in a frame with a white ground, for which its colours are made; HTML has those of the page."""
    return f'<div class="picture">{picture}</div>' if picture.lstrip().startswith("<svg") else picture


def _environment(report: Mapping[str, Any]) -> str:
    values = {name: report.get(name) for name in ENVIRONMENT}
    if isinstance(values["command"], list | tuple):
        script, *flags = map(str, values["command"])
        started = "python -m fdl" if script.endswith("__main__.py") else PurePath(script).name
        values["command"] = f"{started} {shlex.join(flags)}"
    return pairs({**values, "packages": report.get("versions")})


def _next(report: Mapping[str, Any]) -> str:
    """Return commands that go on from here."""
    return element("pre", "\n".join(report["next"]), ' class="wide"') if report.get("next") else ""


def faults(report: Mapping[str, Any], before: str = "") -> str:
    """Return the cost of interruptions, after the text `before`, or nothing if there were none."""
    times = report.get("interruptions")
    plural = "s" * ((times or 0) > 1)
    return f"{before}lost to faults: {report['lost_seconds']:.1f} s in {times} interruption{plural}" if times else ""


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those values that are one number."""
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def metrics(
    found: Mapping[str, Mapping[str, Any]],
    baselines: Sequence[Mapping[str, Any]] = (),
    first: Sequence[str] = (),
) -> str:
    """Return a table with a row for each metric and a column for each split, those of baselines beside test.

    first: the metrics of the first rows; what training alone has comes late, and the numbers of examples last.
    """
    splits = {split: found[split] for split in reversed(SPLITS) if split in found}
    measured = [values for split, values in splits.items() if split != "train"] or [*splits.values()]
    names = dict.fromkeys(name for values in (*measured, *splits.values()) for name in scalars(values))
    rows = sorted(names, key=lambda name: (name == "n", first.index(name) if name in first else len(first)))
    test = {"test": splits.pop("test")} if "test" in splits else {}
    columns = {**test, **{f"test, {each['name']}": each["metrics"] for each in baselines}, **splits}
    cells = ([name.replace("_", " "), *(_digits(each.get(name)) for each in columns.values())] for name in rows)
    return table(("", *columns), cells) if rows else ""


def _digits(value: Any) -> str:
    """Return a metric in four digits, or all before the point; empty where there is none."""
    if value is None:
        return ""
    whole = float(value).is_integer() or abs(value) >= 1e4
    return f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.4g}"
