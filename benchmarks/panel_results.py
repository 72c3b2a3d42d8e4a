"""The panel measured: each set's default against its baseline, over seeds, on test once.

    python -m benchmarks.panel_results FOLDER SEEDS [NAME ...]

SEEDS are how many, as in 5, or some of them, as in 3:5, the fourth and fifth, which are added to those before. Each
line of docs/panel.jsonl is one set; a set that is measured again from the first seed on replaces its line. The table
between the marks in docs/results.md is drawn from that file. The data and their split are the same for all seeds.
"""

import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fdl
from benchmarks import panel_media, panel_tables
from benchmarks.page import put_between
from benchmarks.panel_media import PanelSet
from benchmarks.recipes import knobs_of
from benchmarks.results import machine
from fdl.engine.baselines import measure_baselines
from fdl.experiment import Experiment

ROOT = Path(__file__).resolve().parent.parent
FILE, TABLE = ROOT / "docs" / "panel.jsonl", ROOT / "docs" / "results.md"
JUDGED = panel_tables.JUDGED + panel_media.JUDGED
LONG = 24 * 3600.0  # seconds, of which baselines may take a fifth
BEGIN, END = "<!-- panel: begin (python -m benchmarks.panel_results) -->\n", "<!-- panel: end -->\n"
SAID = """## The panel

{count}

Sets that chose no recipe, by path and defaults alone, the data and their split the same for all seeds; the baseline is
the best of those that the page has, with all the time that it wants. A set holds where the mean is not below the
baseline by more than its standard error over seeds. CPU seconds are the user's, of training and testing once, on a
machine that was not idle.

"""


def measure(folder: Path, chosen: PanelSet, seeds: range, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page reaches on a set by its defaults, over seeds, and the best baseline of its first run.

    before: the same of the seeds before these, empty where these are the first.
    """
    path = panel_tables.path if chosen in panel_tables.JUDGED else panel_media.path
    found = dict(before)
    values, seconds = list(found.get("values", ())), list(found.get("cpu_seconds", ()))
    assert len(values) == seeds.start, f"{chosen.name} has {len(values)} seeds, so the next is {len(values)}"
    for seed in seeds:
        made = fdl.load(
            chosen.page, dataset=str(path(folder, chosen)), seed=seed, **knobs_of(chosen.page, chosen.flags)
        )
        report, spent = trained(made, folder / "runs" / f"{chosen.name}-{seed}")
        metric = report["judged_by"]
        values.append(report["metrics"]["test"][metric])
        seconds.append(spent)
        found = found or named(chosen, metric, made) | best_baseline(metric, made)
    return {**found, "values": values, "cpu_seconds": seconds, "processor": machine()}


def trained(made: Experiment, workdir: Path) -> tuple[Mapping[str, Any], float]:
    """Return the report of a run and its user CPU seconds; one that a signal cut off goes on, and all its time counts.

    workdir: is removed once the run has ended.
    """
    known, begun = workdir.with_suffix(".json"), os.times().user
    before = json.loads(known.read_text()) if known.exists() else 0.0
    workdir.parent.mkdir(exist_ok=True)
    try:
        report = fdl.train(made, workdir, log=None)
    finally:
        spent = before + os.times().user - begun
        known.write_text(json.dumps(spent))
    shutil.rmtree(workdir)
    known.unlink()
    return report, spent


def named(chosen: PanelSet, metric: str, made: Experiment) -> dict[str, Any]:
    """Return what a line of the panel begins with."""
    return {"page": chosen.page, "set": chosen.name, "metric": metric, "better": made.task.metrics[metric].better}


def best_baseline(metric: str, made: Experiment) -> dict[str, Any]:
    """Return the best of an experiment's baselines, each fitted on all rows however busy the machine is."""
    measured = measure_baselines(made, LONG, print)
    values = {each["name"]: each["metrics"][metric] for each in measured if metric in each["metrics"]}
    best = (min if made.task.metrics[metric].better == "lower" else max)(values, key=lambda name: values[name])
    return {"baseline": best, "baseline_value": values[best]}


def holds(row: Mapping[str, Any]) -> bool:
    """Say whether the mean over seeds is not below the baseline by more than its standard error."""
    ahead = (statistics.mean(row["values"]) - row["baseline_value"]) * (1 if row["better"] == "higher" else -1)
    return ahead >= -standard_error(row["values"])


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean, 0 of one value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def count(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many sets hold, which do not and which are not measured."""
    missed = [row["set"] for row in rows if not holds(row)]
    rest = [each.name for each in JUDGED if each.name not in {row["set"] for row in rows}]
    lines = [f"{len(rows) - len(missed)} of the {len(rows)} sets that are measured hold."]
    lines += [f"Below the baseline: {', '.join(missed)}."] * bool(missed)
    lines += [f"Not measured, of {len(JUDGED)} judged: {', '.join(rest)}."] * bool(rest)
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the panel as Markdown, a row for each set and its processor below a letter."""
    processors = sorted({row["processor"] for row in rows})
    lines = [
        "| page | set | metric | baseline | its value | default ± standard error (seeds) | holds | CPU seconds | on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        values = row["values"]
        lines.append(
            f"| `{row['page']}` | {row['set']} | {row['metric']} | {row['baseline']} | {row['baseline_value']:.4g} | "
            f"{statistics.mean(values):.4g} ± {standard_error(values):.2g} ({len(values)}) | "
            f"{'yes' if holds(row) else '**no**'} | {statistics.mean(row['cpu_seconds']):.0f} | "
            f"{'abcdefgh'[processors.index(row['processor'])]} |"
        )
    on = "; ".join(f"{letter}: {each}" for letter, each in zip("abcdefgh", processors, strict=False))
    return "\n".join([*lines, "", f"On {on}."]) + "\n"


def main(folder: str, seeds: str, *names: str) -> None:
    """Measure the sets that are named, all where none is, and write both files."""
    start, stop = map(int, seeds.split(":") if ":" in seeds else ("0", seeds))
    for chosen in (each for each in JUDGED if not names or each.name in names):
        before = measured().get(chosen.name, {}) if start else {}
        row = measure(Path(folder), chosen, range(start, stop), before)
        print(row, flush=True)
        write({**measured(), chosen.name: row})  # read again: another set may have been measured meanwhile


def measured() -> dict[str, dict[str, Any]]:
    """Return the lines that are written, by the name of their set."""
    return {row["set"]: row for row in map(json.loads, FILE.read_text().splitlines())} if FILE.exists() else {}


def write(known: Mapping[str, dict[str, Any]]) -> None:
    """Write both files anew, the sets in the order of the panel; known: a set's name -> its line."""
    rows = [known[each.name] for each in JUDGED if each.name in known]
    FILE.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = (SAID.format(count=count(rows)) + table(rows)).removesuffix("\n").split("\n")
    put_between(TABLE, BEGIN.strip(), END.strip(), lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
