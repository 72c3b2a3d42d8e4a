"""The panel measured: each set's default against its baseline, over seeds, on test once.

    python -m benchmarks.panel_results FOLDER SEEDS [NAME ...]

SEEDS are how many, as in 5, or some of them, as in 3:5, the fourth and fifth, which are added to those before. Each
line of docs/panel.jsonl is one set; a set that is measured again from the first seed on replaces its line. The table
between the marks in docs/results.md is drawn from that file. The data and their split are the same for all seeds.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fdl
from benchmarks import panel_media, panel_tables
from benchmarks.panel_media import PanelSet
from benchmarks.recipes import _value
from fdl.engine.baselines import measure_baselines
from fdl.experiment import Experiment

ROOT = Path(__file__).resolve().parent.parent
FILE, TABLE = ROOT / "docs" / "panel.jsonl", ROOT / "docs" / "results.md"
JUDGED = panel_tables.JUDGED + panel_media.JUDGED
LONG = 24 * 3600.0  # seconds, of which baselines may take a fifth
BEGIN, END = "<!-- panel: begin (python -m benchmarks.panel_results) -->\n", "<!-- panel: end -->\n"
SAID = """## The panel

Sets that chose no recipe, by path and defaults alone, the data and their split the same for all seeds; the baseline is
the best of those that the page has, with all the time that it wants.

"""


def measure(folder: Path, chosen: PanelSet, seeds: range, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page reaches on a set by its defaults, over seeds, and the best baseline of its first run.

    before: the same of the seeds before these, empty where these are the first.
    """
    given = {name: _value(value) for name, value in (flag[2:].split("=", 1) for flag in chosen.flags)}
    path = panel_tables.path if chosen in panel_tables.JUDGED else panel_media.path
    found, begun = dict(before), time.process_time()
    values = list(found.get("values", ()))
    assert len(values) == seeds.start, f"{chosen.name} has {len(values)} seeds, so the next is {len(values)}"
    for seed in seeds:
        made = fdl.load(chosen.page, dataset=str(path(folder, chosen)), seed=seed, **given)
        with tempfile.TemporaryDirectory() as workdir:
            report = fdl.train(made, workdir, log=None)
        metric = report["judged_by"]
        values.append(report["metrics"]["test"][metric])
        found = found or named(chosen, metric, made) | best_baseline(metric, made)
    spent = seeds.start * before.get("cpu_seconds", 0.0) + time.process_time() - begun
    return {**found, "values": values, "cpu_seconds": spent / seeds.stop}


def named(chosen: PanelSet, metric: str, made: Experiment) -> dict[str, Any]:
    """Return what a line of the panel begins with."""
    return {"page": chosen.page, "set": chosen.name, "metric": metric, "better": made.task.metrics[metric].better}


def best_baseline(metric: str, made: Experiment) -> dict[str, Any]:
    """Return the best of an experiment's baselines, each fitted on all rows however busy the machine is."""
    measured = measure_baselines(made, LONG, print)
    values = {each["name"]: each["metrics"][metric] for each in measured if metric in each["metrics"]}
    best = (min if made.task.metrics[metric].better == "lower" else max)(values, key=lambda name: values[name])
    return {"baseline": best, "baseline_value": values[best]}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the panel as Markdown: a set holds where its mean is not below the baseline by more than its error."""
    lines = [
        "| page | set | metric | baseline | its value | default ± standard error (seeds) | holds | CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        values, count = row["values"], len(row["values"])
        mean = statistics.mean(values)
        error = statistics.stdev(values) / count**0.5 if count > 1 else 0.0
        ahead = (mean - row["baseline_value"]) * (1 if row["better"] == "higher" else -1)
        lines.append(
            f"| `{row['page']}` | {row['set']} | {row['metric']} | {row['baseline']} | {row['baseline_value']:.4g} | "
            f"{mean:.4g} ± {error:.2g} ({count}) | {'yes' if ahead >= -error else '**no**'} | "
            f"{row['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main(folder: str, seeds: str, *names: str) -> None:
    """Measure the sets that are named, all where none is, and write both files."""
    known = {row["set"]: row for row in map(json.loads, FILE.read_text().splitlines())} if FILE.exists() else {}
    start, stop = map(int, seeds.split(":") if ":" in seeds else ("0", seeds))
    for chosen in (each for each in JUDGED if not names or each.name in names):
        before = known.get(chosen.name, {}) if start else {}
        known[chosen.name] = measure(Path(folder), chosen, range(start, stop), before)
        print(known[chosen.name], flush=True)
        write(known)


def write(known: Mapping[str, dict[str, Any]]) -> None:
    """Write both files anew, the sets in the order of the panel; known: a set's name -> its line."""
    rows = [known[each.name] for each in JUDGED if each.name in known]
    FILE.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = TABLE.read_text()
    before, rest = text.split(BEGIN) if BEGIN in text else (f"{text.rstrip()}\n\n", END)
    TABLE.write_text(before + BEGIN + SAID + table(rows) + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
