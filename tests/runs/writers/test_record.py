import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import fdl
import tiny
from fdl.core.errors import UserError
from fdl.core.types import SPLITS
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines
from fdl.runs.writers.record import Record


class Killed(BaseException):
    pass


class Kept(fdl.Writer):
    """Keeps all that it is given."""

    def __init__(self):
        self.run, self.written, self.calls, self.report, self.examples, self.error = None, [], [], None, None, ""

    def start(self, run):
        self.run = run

    def write(self, split, step, epoch, values):
        self.written.append({"step": step, "epoch": round(epoch, 4), "split": split, **values})

    def flush(self):
        self.calls.append("flush")

    def finish(self, report, examples):
        self.report, self.examples = report, examples

    def close(self, error):
        self.calls.append("close")
        self.error = error


def unclocked(found):
    return [{name: value for name, value in line.items() if name not in CLOCKED} for line in found]


def test_a_writer_takes_what_the_log_holds_and_the_report_and_goes_on_where_the_run_does(tmp_path, monkeypatch):
    made = tiny.experiment(executor="jit", save_every=4, evaluate_every=4, log_every=2, steps=8)
    whole, cut, again = Kept(), Kept(), Kept()
    report = fdl.train(made, tmp_path / "project" / "whole", writers=[whole], log=None)
    assert whole.written == lines(tmp_path / "project" / "whole" / "metrics.jsonl")
    assert (whole.run.name, whole.run.project, whole.run.step, whole.run.history) == ("whole", "project", 0, [])
    assert whole.run.config["batch_size"] == 8
    assert whole.report["metrics"]["test"] == report["metrics"]["test"]
    assert sum(map(len, whole.examples.values())) > 0
    assert {"true", "predicted", "row"} <= vars(next(iter(whole.examples.values()))[0]).keys()
    assert whole.calls == ["flush", "flush", "close"]
    assert whole.error is None

    def die(self, state, meta):
        if int(state.step) == 8:
            raise Killed
        return save(self, state, meta)

    save = Checkpoints.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", die)
        with pytest.raises(Killed):
            fdl.train(made, tmp_path / "cut", writers=[cut], log=None)
    assert isinstance(cut.error, Killed)
    assert cut.report is None
    fdl.train(made, tmp_path / "cut", writers=[again], log=None)
    assert again.run.step == 4
    assert unclocked(again.run.history) == unclocked(line for line in cut.written if line["step"] <= 4)
    assert unclocked([*again.run.history, *again.written]) == unclocked(whole.written)


def test_the_writer_of_the_guide_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[3] / "docs" / "guide.md").read_text()
    example = text.split("## TensorBoard, and writers of your own")[1].split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(example, {"__name__": "example"})
    said = capsys.readouterr().out
    assert "mine 64 0\n" in said
    for split in ("train", "validation", "test"):
        assert re.search(rf"^ *\d+ {split} +\d\.\d{{3}}$", said, re.MULTILINE), said


class Broken(fdl.Writer):
    closed = 0

    def write(self, split, step, epoch, values):
        raise ConnectionError("no route to host")

    def close(self, error):
        self.closed += 1


class BrokenAtTheEnd(Broken):
    def write(self, split, step, epoch, values):
        pass

    def close(self, error):
        super().close(error)
        raise ConnectionError("no route to host")


class Alone(fdl.Writer):
    """Defines nothing."""


def test_a_writer_that_fails_is_named_once_and_harms_no_training(tmp_path):
    said, kept, broken = [], Kept(), (Broken(), BrokenAtTheEnd())
    writers = [*broken, kept, Alone()]
    report = fdl.train(tiny.experiment(executor="jit"), tmp_path, writers=writers, log=said.append)
    what = "(ConnectionError: no route to host) and gets nothing more; the run itself is not harmed"
    assert [line for line in said if line.startswith("warning")] == [
        f"warning: Broken failed at step 4 {what}",
        f"warning: BrokenAtTheEnd failed at step 12 {what}",
    ]
    assert [each.closed for each in broken] == [1, 1]
    assert report["step"] == 12
    assert {line["split"] for line in kept.written} == set(SPLITS)


def test_the_first_process_alone_writes_to_others_than_its_own_files(tmp_path, monkeypatch):
    monkeypatch.setattr("fdl.runs.writers.record.processes.first", lambda: False)
    kept = Kept()
    with Record(tmp_path, 0, writers=[kept]) as record:
        record.write("train", 1, 0.1, {"loss": 1.0})
    assert (kept.run, kept.written, kept.calls) == (None, [], [])


def test_what_is_no_writer_is_refused(tmp_path):
    nobody: Any = {}
    with pytest.raises(UserError, match=r"writers has a dict, which is no fdl\.Writer; make it a subclass"):
        Record(tmp_path, 0, writers=[nobody])


def test_a_file_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    with Record(tmp_path, 0) as record:
        full = OSError(28, "No space left on device")
        jsonl = record.files[0]
        monkeypatch.setattr(jsonl, "file", Mock(wraps=jsonl.file, **{"write.side_effect": full}))
        jsonl.file.name = "metrics.jsonl"
        with pytest.raises(OSError, match=r"No space left on device: 'metrics\.jsonl'"):
            record.write("train", 10, 1.0, {"loss": 0.5})
