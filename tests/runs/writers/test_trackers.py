"""Trackers: what all share, with one that is made up; and each with its package, offline, where that is installed."""

import json
import struct
import threading
import tomllib
from pathlib import Path

import pytest

import fdl
import tiny
from fdl.core.errors import Stopped, UserError
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines
from fdl.runs.writers import tracker, trackers
from fdl.runs.writers.tracker import Tracker
from fdl.runs.writers.writer import RunInfo


class Killed(BaseException):
    pass


class Memory(Tracker):
    """Keeps runs in a dict that outlives the process, as a server does."""

    package = "memory"

    def __init__(self, server, fails_at=None, ready=None):
        self.server, self.fails_at, self.ready, self.batches = server, fails_at, ready, []

    def make(self, run):
        if self.ready:
            assert self.ready.wait(60)
        return {"id": f"run {len(self.server)}"}

    def open(self, run, kept, new):
        assert new == (kept["id"] not in self.server)
        self.rows = self.server.setdefault(kept["id"], [])

    def known(self, run):
        return {(tag.split("/")[0], step) for step, values in self.rows for tag in values}

    def send(self, rows):
        if self.fails_at in [step for step, _ in rows]:
            raise ConnectionError("no route to host")
        self.batches.append(len(rows))
        self.rows += rows

    def send_examples(self, step, tag, examples):
        self.rows.append((step, {tag: len(examples)}))

    def end(self, status):
        self.rows.append((0, {"end": status}))


def made(**changes):
    pictures = tiny.dataset(shape=(4, 4, 1))
    return tiny.experiment(
        executor="jit", dataset=pictures, steps=8, save_every=4, evaluate_every=4, log_every=2, **changes
    )


def die_at(monkeypatch, step):
    save = Checkpoints.save

    def die(self, state, meta):
        if int(state.step) == step:
            self.wait()
            raise Killed
        return save(self, state, meta)

    monkeypatch.setattr(Checkpoints, "save", die)


def logged(workdir):
    """(Split, name, step) -> value of every number in metrics.jsonl that two runs share."""
    found = {}
    for line in lines(workdir / "metrics.jsonl"):
        for name, value in line.items():
            if name not in ("step", "split", *CLOCKED) and isinstance(value, int | float):
                assert (line["split"], name, line["step"]) not in found
                found[line["split"], name, line["step"]] = value
    return found


def test_a_run_that_goes_on_is_one_run_of_its_tracker_with_every_step_once(tmp_path, monkeypatch):
    server = {}
    with monkeypatch.context() as patch:
        die_at(patch, 8)  # what was sent of steps 6 and 8 is computed again
        with pytest.raises(Killed):
            fdl.train(made(), tmp_path, writers=[Memory(server, fails_at=4)], log=None)
    fdl.train(made(), tmp_path, writers=[Memory(server)], log=None)
    (rows,) = server.values()
    sent = {}
    for step, values in rows:
        for tag, value in values.items():
            split, _, name = tag.partition("/")
            if split in ("train", "validation", "test") and name in ("loss", "accuracy", "learning_rate", "epoch"):
                assert (split, name, step) not in sent
                sent[split, name, step] = value
    expected = {key: value for key, value in logged(tmp_path).items() if key[1] in {name for _, name, _ in sent}}
    assert sent == pytest.approx(expected, abs=1e-4)  # the log rounds epochs
    assert rows[-1] == (0, {"end": "finished"})
    assert any(tag.startswith("test/some_that_are_right") for _, values in rows for tag in values)


def test_a_tracker_that_fails_is_named_once_and_one_that_is_slow_does_not_hold_training_up(tmp_path, monkeypatch):
    class Counting(threading.Thread):
        joined = 0

        def join(self, timeout=None):
            type(self).joined += 1
            super().join(timeout)

    monkeypatch.setattr(tracker, "PATIENCE", 0.1)
    monkeypatch.setattr(tracker, "HURRY", 0.1)
    monkeypatch.setattr(tracker, "Thread", Counting)
    server, ready, said = {}, threading.Event(), []
    failing, slow = Memory(server, fails_at=4), Memory(server, ready=ready)
    failing.package = "failing"
    report = fdl.train(made(), tmp_path, writers=[failing, slow], log=said.append)
    assert report["step"] == 8
    first, second = [line for line in said if line.startswith("warning")]
    assert "(ConnectionError: no route to host) and gets nothing more; the run itself is not harmed" in first
    assert "TimeoutError: not all is sent after 0 seconds" in second
    assert Counting.joined == 1  # it is waited for once
    ready.set()
    slow.thread.join(60)
    assert slow.batches == [len(lines(tmp_path / "metrics.jsonl"))]  # what waited was sent at once


def test_trackers_that_open_their_runs_at_once_are_all_found_again(tmp_path):
    both = threading.Barrier(2)

    class Meeting(Memory):
        def make(self, run):
            both.wait(60)
            return super().make(run)

    servers = {"one": {}, "two": {}}
    writers = [Meeting(server) for server in servers.values()]
    for name, writer in zip(servers, writers, strict=True):
        writer.package = name
        writer.start(RunInfo(workdir=tmp_path))
    for writer in writers:
        writer.close(None)
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"one": {"id": "run 0"}, "two": {"id": "run 0"}}


def test_how_a_run_ended_is_told(tmp_path):
    for error, status in ((None, "finished"), (Stopped("SIGTERM"), "stopped"), (ValueError(), "failed")):
        server = {}
        writer = Memory(server)
        writer.start(RunInfo(workdir=tmp_path))
        writer.close(error)
        assert server["run 0"][-1] == (0, {"end": status})
        (tmp_path / "tracking.json").unlink()


def test_an_unknown_tracker_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"--track=comet is none of wandb, mlflow, trackio"):
        fdl.trackers("comet")
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--track=mlflow needs the package mlflow; pip install 'fdl\[mlflow\]'"):
        fdl.trackers("mlflow")


def test_each_tracker_has_the_extra_that_its_error_names():
    file = Path(__file__).parents[3] / "pyproject.toml"
    extras = tomllib.loads(file.read_text())["project"]["optional-dependencies"]
    for name, made in trackers.TRACKERS.items():
        assert made.package == name
        assert extras[name][0].startswith(name)


def killed_and_resumed(tmp_path, monkeypatch, name):
    """Train to the second checkpoint, be killed before it is there, and go on; return the folder."""
    workdir = tmp_path / "project" / name
    with monkeypatch.context() as patch:
        die_at(patch, 8)
        with pytest.raises(Killed):
            fdl.train(made(), workdir, writers=fdl.trackers(name), log=None)
    said = []
    fdl.train(made(), workdir, writers=fdl.trackers(name), log=said.append)
    assert not [line for line in said if line.startswith("warning")]
    return workdir


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_one_run_with_every_step_once(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    workdir = killed_and_resumed(tmp_path, monkeypatch, "mlflow")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("project").experiment_id])
    assert (run.info.run_name, run.info.status) == ("mlflow", "FINISHED")
    assert run.data.params["batch_size"] == "8"
    found = {}
    for tag in run.data.metrics:
        for each in client.get_metric_history(run.info.run_id, tag):
            key = (*tag.split("/"), each.step)
            assert key not in found
            found[key] = each.value
    assert {key: found[key] for key in logged(workdir)} == pytest.approx(logged(workdir), abs=1e-4)
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id, "test")} >= {
        "test/some_that_are_right.png"
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trackio_has_one_run_with_every_step_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    workdir = killed_and_resumed(tmp_path, monkeypatch, "trackio")
    (record,) = SQLiteStorage.get_run_records("project")
    assert record["name"] == "trackio"
    found = {}
    for row in SQLiteStorage.get_logs("project", "trackio"):
        for tag, value in row.items():
            if "/" in tag:
                key = (*tag.split("/"), row["step"])
                assert key not in found
                found[key] = value
    assert {key: found[key] for key in logged(workdir)} == pytest.approx(logged(workdir), abs=1e-4)
    assert any("some_that_are_right" in name for _, name, _ in found)


def leveldb_records(data, block=32768, header=7):
    """Yield the records of a file in LevelDB's log format after a header of its own, as wandb writes."""
    at, part = header, b""
    while at + header <= len(data):
        if block - at % block < header:
            at += block - at % block
        _, size, kind = struct.unpack_from("<IHB", data, at)
        part += data[at + header : at + header + size]
        at += header + size
        if kind in (1, 4):  # whole, or the last piece
            yield part
            part = b""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_last_offline_run_of_wandb_is_whole_and_has_the_id_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    workdir = killed_and_resumed(tmp_path, monkeypatch, "wandb")
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime)
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    found, config = {}, {}
    for data in leveldb_records(files[-1].read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            assert (record.run.display_name, record.run.project) == ("wandb", "project")
            config = {item.key: item.value_json for item in record.run.config.update}
        if record.WhichOneof("record_type") == "history":
            values = {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            for tag in (tag for tag in values if "/" in tag):
                key = (*tag.split("/", 1), record.history.step.num)
                assert key not in found
                found[key] = values[tag]
    assert config["batch_size"] == "8"
    numbers = {key: float(found[key]) for key in logged(workdir)}
    assert numbers == pytest.approx(logged(workdir), abs=1e-4)
    assert any("some_that_are_right" in name for _, name, _ in found)
