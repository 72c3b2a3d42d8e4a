"""Runs are compared from their folders alone: the knobs that differ, metrics with their differences, curves."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import fdl
import tiny
from fdl.__main__ import main
from fdl.core.errors import UserError
from fdl.modes.compare import compare, table
from fdl.runs import lock
from fdl.runs.summary import summarize


def run_folder(path: Path, loss: float | None, **knobs: object) -> Path:
    """The files of a finished run with one metric."""
    path.mkdir(parents=True)
    metrics = {"validation": {"loss": loss, "n": 9}, "test": {"loss": loss, "n": 9}}
    report = {"step": 10, "epoch": 2.0, "primary": "loss", "better": "lower", "metrics": metrics}
    (path / "report.json").write_text(json.dumps(report))
    identity = {"experiment": "page", "dataset": "set", "task": "regress", **knobs}
    (path / "experiment.json").write_text(json.dumps({"identity": identity}))
    lines = [{"step": step, "epoch": 1.0, "split": "validation", "loss": loss} for step in (5, 10)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for seed in (0, 1):
        made = tiny.experiment(seed=seed, evaluate_every=4, executor="jit")
        fdl.train(replace(made, knobs={"seed": seed, "width": 8}), folder / f"seed{seed}", log=None)
    return folder


def test_a_folder_of_trained_runs_is_a_table_and_a_page_with_the_best_first(trained):
    lines: list[str] = []
    found = compare(trained, log=lines.append)
    reports = [json.loads((run.folder / "report.json").read_text()) for run in found]
    losses = [report["metrics"]["validation"]["accuracy"] for report in reports]
    assert len(found) == 2
    assert losses == sorted(losses, reverse=True)
    assert found.page == trained / "compare.html"
    rows = [line.split() for line in lines if line.startswith("seed")]
    assert [row[:2] for row in rows] == [[run.name, f"{loss:.4g}"] for run, loss in zip(found, losses, strict=True)]
    assert lines[-1] == f"2 runs compared in {found.page}"
    page = found.page.read_text()
    assert page.count('<g data-run="1"') > 4, "curves of both splits"
    assert 'href="seed1/report.html"' in page
    assert not re.search(r'(src|href)="(https?:)?//', page), "self-contained"


def test_only_knobs_that_differ_are_shown_and_differences_are_to_the_first(tmp_path):
    paths = [
        run_folder(tmp_path / "a", 0.5, width=8, seed=0, epochs=3.0, steps=30),
        run_folder(tmp_path / "b", 0.25, width=16, seed=0, epochs=3.0, steps=31),
    ]
    lines: list[str] = []
    compare(*paths, output=tmp_path / "page.html", log=lines.append)
    names = next(line for line in lines if line.startswith("run ")).split()
    assert names == ["run", "loss", "loss", "width"], "neither seed, nor the steps that follow from the epochs"
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["a"] == ["0.5", "0.5", "8"]
    assert cells["b"] == ["0.25", "-0.25", "0.25", "-0.25", "16"]
    assert cells["all:"][:2] == ["experiment", "page,"]
    page = (tmp_path / "page.html").read_text()
    assert '<span class="difference better">-0.25</span>' in page
    assert '<th data-column="3">width</th>' in page


class Cells(HTMLParser):
    """What the script sorts a column by: of each row the values of its cells, None where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str | None]] = []

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append(dict(attrs).get("data-value"))


def test_cells_have_the_numbers_they_are_sorted_by_and_a_missing_one_none(tmp_path):
    for name, loss, width in (("a", 0.123456789, 8), ("b", None, 1000)):
        run_folder(tmp_path / name, loss, width=width)
    found = Cells()
    found.feed(compare(tmp_path, log=None).page.read_text())
    rows = [row[:4] for row in found.rows if row]
    assert rows == [["a", "0.123456789", "0.123456789", "8.0"], ["b", None, None, "1000.0"]]


def test_a_narrow_terminal_has_no_broken_lines_and_names_what_it_leaves_out(tmp_path):
    paths = [run_folder(tmp_path / f"{'long' * 20}{i}", 0.5, width=8 * i, dropout=i / 10) for i in range(3)]
    runs = [summarize(path, path.name) for path in paths]
    for width in (80, 65):
        lines = table(runs, width)
        assert all(len(line) <= width for line in lines[1:-1])
    assert lines[-1] == "not shown here: dropout"
    assert all(f"…{'long' * 3}long{i}"[-16:] in " ".join(lines) for i in range(3)), "the ends tell them apart"


def test_what_is_not_finished_says_why(tmp_path):
    for name in ("finished", "running", "killed", "broken"):
        run_folder(tmp_path / name, 0.5, steps=20)
    for name in ("running", "killed"):
        (tmp_path / name / "report.json").unlink()
    (tmp_path / "broken" / "report.json").write_text("{")
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "experiment.json").write_text("[]")
    lines: list[str] = []
    with lock.hold(tmp_path / "running"):
        assert lock.is_held(tmp_path / "running")
        found = {run.name: run.status for run in compare(tmp_path, log=lines.append)}
    assert not lock.is_held(tmp_path / "running")
    assert not lock.is_held(tmp_path / "killed")
    assert found == {
        "finished": "finished",
        "running": "running, step 10 of 20",
        "killed": "unfinished, step 10 of 20",
        "broken": "its report.json is damaged",
    }
    assert any("alien" in line and line.startswith("warning: ") for line in lines)


def test_a_population_is_compared_by_its_members(tmp_path):
    path = run_folder(tmp_path / "population", 0.5, seed=[3, 4])
    report = json.loads((path / "report.json").read_text())
    members = [
        {"seed": seed, "validation": {"loss": loss}, "test": {"loss": loss}} for seed, loss in ((3, 0.7), (4, 0.3))
    ]
    (path / "report.json").write_text(json.dumps({**report, "members": members}))
    line = {"step": 5, "epoch": 1.0, "split": "validation", "loss": 0.5, "loss_std": 0.2, "loss_members": [0.7, 0.3]}
    (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    found = compare(path, log=None)
    assert [(run.name, run.knobs["seed"], run.metrics["test"]["loss"]) for run in found] == [
        ("member 1", 4, 0.3),
        ("member 0", 3, 0.7),
    ]
    assert [run.log[0]["loss"] for run in found] == [0.3, 0.7]


def test_what_cannot_be_compared_is_one_line(tmp_path):
    one = run_folder(tmp_path / "runs" / "one", 0.5)
    for folders, output, message in (
        ((), None, "needs the folders of runs"),
        ((tmp_path / "none",), None, "is no folder"),
        ((one,), None, "is one run; give another"),
        ((tmp_path / "empty",), None, "holds no run"),
        ((one, one.parent), tmp_path / "page.txt", "give one that ends in .html"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            compare(*folders, output=output, log=None)


def test_the_command_takes_folders_as_words_in_any_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        run_folder(tmp_path / name, 0.5)
    assert main(["launch.py", "--mode=compare", "b", "a", "--output=two.html"]) == 0
    assert "2 runs compared in two.html" in capsys.readouterr().out
    assert [name for name in ("two.html", "compare.html") if (tmp_path / name).exists()] == ["two.html"]
    assert main(["launch.py", "--mode=compare", "a", "b", "--seed=1"]) == 2
    assert "--seed does nothing; leave it out" in capsys.readouterr().err
