"""Files of a run that others edit: odd lines, other types, hostile words, nothing; the run finishes all the same."""

import json
import random
import re
import shutil
from functools import partial
from pathlib import Path

import kills
import runs
from runs import Row

EVIL = "<script>alert(1)</script>"
LINES = {
    "a list as split": '{"step": 20, "split": ["train"], "loss": 1.0}',
    "a number of 400 digits": '{"step": 20, "split": "train", "loss": ' + "9" * 400 + "}",
    "a step of 5,000 digits": '{"step": ' + "9" * 5000 + ', "split": "train"}',
    "text as a loss": '{"step": 20, "split": "train", "loss": "low"}',
    "a split that is a script": json.dumps({"step": 20, "split": EVIL, EVIL: 1.0}),
    "a constant of 1e17": '{"step": 20, "split": "train", "loss": 1e17, "odd": 1e17}',
    "the largest doubles": '{"step": 20, "split": "train", "odd": 1.7e308, "even": -1.7e308}',
    "no JSON": "{{{",
    "an endless line": "[" * 200_000,
    "bytes that are no text": "\udcff\udcfe",
}
FILES = {
    "report.json": ["{}", "[]", "null", "", '{"step": 120}'],
    "report.json ": ['{"step": 120, "metrics": {"test": 3}}', '{"step": "x", "metrics": {}}'],
    "starts.json": ["{}", "[[]]", '[{"at": 1e999, "step": 0}]', '[{"at": 0, "step": 0, "redone": -1e9}]', "null"],
    "dataset.json": ["{}", "null", "["],
    "report.html": [""],
    "metrics.jsonl": [""],
}  # fmt: skip


def edit(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Edit the files of a run that has all its steps and no report, and let it finish."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    kinds: dict[str, runs.Kind] = {
        f"a line of metrics.jsonl: {name}": partial(line, whole=whole, text=text) for name, text in LINES.items()
    }
    kinds |= {f"{name} that holds something else": partial(other, whole=whole, name=name) for name in FILES}
    runs.each_kind(row, tries, rng, folder, kinds)


def line(folder: Path, rng: random.Random, whole: Path, text: str) -> str | None:
    """Put a line at a random place of the log."""
    workdir = folder / "run"
    shutil.copytree(whole, workdir)
    (workdir / "report.json").unlink()
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines()
    lines.insert(rng.randrange(len(lines)), text)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    same = runs.final(workdir) == runs.final(whole)
    return finish(workdir, folder / "log") or (None if same else "the final state differs")


def other(folder: Path, rng: random.Random, whole: Path, name: str) -> str | None:
    """Write something else into a file, or take it away."""
    workdir = folder / "run"
    shutil.copytree(whole, workdir)
    if "report.json" not in name:
        (workdir / "report.json").unlink()
    text = rng.choice(FILES[name])
    (workdir / name.strip()).write_text(text)
    problem = finish(workdir, folder / "log")
    return problem and f"{text!r}: {problem}"


def finish(workdir: Path, log: Path) -> str | None:
    """Run the same command and say what is wrong with its end or its report."""
    ended = runs.run(runs.command(workdir, "mlp", "jit"), log)
    if ended.code or "Traceback" in ended.said:
        return f"exit {ended.code}: {ended.said[-600:]}"
    try:
        report = json.loads((workdir / "report.json").read_text())
        page = (workdir / "report.html").read_text()
    except (OSError, ValueError) as error:
        return f"no report: {error}"
    if report["step"] != 120 or report["metrics"]["test"]["n"] < 1 or report["lost_seconds"] < 0:
        return f"a report of something else: {report}"
    return "a script in the page" if re.search("<script", page) or "</html>" not in page else None
