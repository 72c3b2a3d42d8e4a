"""Run folders on object stores, against moto's S3 server in a process of its own on loopback."""

import shutil
import threading
import time
from contextlib import suppress

import pytest

import fdl
import tiny
from fdl.core.errors import Fault, UserError
from fdl.engine.options import with_init
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.mirror import Mirror, fetched, written_through
from fdl.runs.stores.store import Store
from lost_machine import train_until_lost

pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp and botocore at the end of a loop


def leaves(folder):
    checkpoints = Checkpoints(folder / "checkpoints")
    return checkpoints.verify(checkpoints.last())["leaves"]


def empty_machine(tmp_path):
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


@pytest.mark.slow
def test_a_run_lives_on_the_store_and_is_restored_from_an_empty_machine(store, tmp_path):
    made = tiny.experiment()
    report = fdl.train(made, store, log=None)
    fdl.train(made, tmp_path / "plain", log=None)
    empty_machine(tmp_path)
    assert leaves(fetched(store)) == leaves(tmp_path / "plain")
    names = Store(store).names()
    assert {"experiment.json", "metrics.jsonl", "report.json", "report.html", "dataset.json"} <= set(names)
    assert fdl.evaluate(made, store, log=None)["metrics"]["test"] == report["metrics"]["test"]
    empty_machine(tmp_path)
    lines = []
    assert fdl.train(made, store, log=lines.append)["step"] == 12
    assert any("finished already" in line for line in lines)


@pytest.mark.slow
def test_an_empty_machine_goes_on_from_the_store_alone(store, tmp_path):
    made = tiny.experiment(save_every=4)
    fdl.train(made, tmp_path / "plain", log=None)
    train_until_lost(made, store, pushes=2)
    empty_machine(tmp_path)
    assert Checkpoints(fetched(store) / "checkpoints").last() == 8
    lines = []
    fdl.train(made, store, log=lines.append)
    assert any("goes on from step 8" in line for line in lines)
    assert leaves(fetched(store)) == leaves(tmp_path / "plain")


@pytest.mark.slow
def test_a_step_without_its_commit_object_is_not_listed(store, tmp_path):
    made = tiny.experiment(save_every=4)
    fdl.train(made, store, log=None)
    commit = next(name for name in Store(store).names() if name.startswith("checkpoints/12-") and "meta" in name)
    Store(store).delete(commit)
    Store(store).delete("report.json")
    assert Checkpoints(fetched(store) / "checkpoints").last() == 8
    fdl.train(made, store, log=None)
    assert Checkpoints(fetched(store) / "checkpoints").last() == 12


def test_one_owner(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.3)
    monkeypatch.setattr(lease, "SILENCE", 2.0)
    files, here, there = Store(store), tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    files.write("experiment.json", b"{}")
    with lease.hold(files, here, print) as first:
        with pytest.raises(UserError, match="in use by pid"), lease.hold(files, there, print):
            pass
        first.check()
    with lease.hold(files, there, print):  # released: no wait
        assert lease.numbers(files) == [2]
    files.write(lease.name_of(3), b"pid 1 on a machine that is gone\nabc\n1")
    with lease.hold(files, here, print) as third:  # silent: taken over
        assert third.number == 4
        assert not files.create(lease.name_of(4), b"another")
        files.create(lease.name_of(5), b"the one that took it")
        with pytest.raises(Fault, match="taken by another run"):
            third.renew()


def test_a_silent_store_and_a_lost_lease_are_logged_when_they_happen(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.1)
    files, lines, silent = Store(store), [], threading.Event()
    write = files.write

    def until(part):
        for _ in range(300):
            if any(part in line for line in lines):
                return
            time.sleep(0.05)
        raise AssertionError(f"no line with {part!r} in {lines}")

    def lost(name, content):
        if silent.is_set():
            with files.naming():
                raise ConnectionResetError("by peer")
        write(name, content)

    monkeypatch.setattr(files, "write", lost)
    with lease.hold(files, tmp_path, lines.append) as held:
        silent.set()
        until(f"{store} takes no heartbeat: by peer")
        time.sleep(0.5)  # several heartbeats, one line
        silent.clear()
        until(f"{store} takes heartbeats again")
        files.create(lease.name_of(held.number + 1), b"the one that took it")
        until(f"{store} was taken by another run")  # nobody checked
    assert len(lines) == 3, lines
    assert lease.numbers(files) == [1, 2], "what was lost is not released"


def test_an_owner_that_was_overtaken_in_the_middle_of_a_push_harms_nothing_of_its_successor(store, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    fdl.train(tiny.experiment(save_every=4), folders[0], log=None)
    shutil.copytree(folders[0], folders[1])
    files, overtaken = Store(store), []
    for step in (8, 12):  # a step that both saved, in other words: Orbax's files are not the same twice
        file = folders[0] / f"checkpoints/{step}/meta.json"
        file.write_text(file.read_text() + " ")

    with lease.hold(files, folders[0], print) as first:
        slow = Store(store)
        mirror, upload = Mirror(slow, folders[0], held=first), slow.upload

        def overtake(file, name):
            if not overtaken and name == "metrics.jsonl":  # the request is under way, the lease was looked at before
                assert files.create(lease.name_of(first.number + 1), b"the one that took it")
                second = lease.Lease(files, first.number + 1, "the one that took it")
                overtaken.append(Mirror(files, folders[1], held=second).push())
            upload(file, name)

        mirror.push()
        for step in (8, 12):
            file = folders[0] / f"checkpoints/{step}/meta.json"
            file.write_text(file.read_text() + " ")
        (folders[0] / "metrics.jsonl").write_text("of the owner that was overtaken")
        slow.upload = overtake
        with pytest.raises(Fault, match="taken by another run"):
            mirror.push()
    assert overtaken
    assert files.read("metrics.jsonl") == b"of the owner that was overtaken"
    there = fetched(store) / "checkpoints"
    assert (there.parent / "metrics.jsonl").read_bytes() == (folders[1] / "metrics.jsonl").read_bytes()
    assert Checkpoints(there).steps() == Checkpoints(folders[1] / "checkpoints").steps() == [8, 12]
    for step in (8, 12):
        Checkpoints(there).verify(step)
        assert (there / f"{step}/meta.json").read_bytes() == (folders[1] / f"checkpoints/{step}/meta.json").read_bytes()


@pytest.mark.slow
def test_a_run_is_not_finished_on_the_store_before_its_last_step_is_there(store, tmp_path, monkeypatch):
    upload = Store.upload

    def lost(files, file, name):
        if name.startswith("checkpoints/12-"):
            raise Fault("the machine is lost")
        upload(files, file, name)

    made = tiny.experiment(save_every=4)
    monkeypatch.setattr(Store, "upload", lost)
    with pytest.raises(Fault, match="lost"):
        fdl.train(made, store, log=None)
    monkeypatch.setattr(Store, "upload", upload)
    empty_machine(tmp_path)
    lines = []
    fdl.train(made, store, log=lines.append)
    assert any("goes on from step 8" in line for line in lines), lines
    assert Checkpoints(fetched(store) / "checkpoints").last() == 12


def test_a_run_whose_lease_is_lost_ends_at_its_next_call_and_not_at_its_next_save(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.1)
    push = Mirror.push

    def overtaken(mirror):
        push(mirror)
        mirror.store.create(lease.name_of(2), b"the one that took it")

    def slow():
        time.sleep(0.01)
        return time.perf_counter()

    monkeypatch.setattr(Mirror, "push", overtaken)
    made, lines = tiny.experiment(steps=1200, save_every=600, evaluate_every=600), []
    with pytest.raises(Fault, match=f"{store} was taken by another run"):
        fdl.train(made, store, log=lines.append, clock=slow)
    (folder,) = (tmp_path / "cache/stores/runs").iterdir()
    assert Checkpoints(folder / "checkpoints").steps() == [600]
    assert '"step": 1200' not in (folder / "metrics.jsonl").read_text()


def test_a_small_file_is_kept_once_for_each_owner_and_goes_with_its_name(store, tmp_path):
    files, folder = Store(store), tmp_path / "run"
    folder.mkdir()
    for number in (1, 2):
        (folder / "metrics.jsonl").write_text(f"of owner {number}")
        with lease.hold(files, folder, print) as held:
            mirror = Mirror(files, folder, held=held)
            if number == 1:
                (folder / "report.html").write_text("a page")
            else:
                mirror.pull()
                (folder / "metrics.jsonl").write_text("of owner 2")
                (folder / "report.html").unlink()
            mirror.push()
    assert files.names() == [".leases/000002", ".owners/000002/metrics.jsonl", "metrics.jsonl"]
    files.write(".owners/000001/metrics.jsonl", b"too late")
    assert (fetched(store) / "metrics.jsonl").read_text() == "of owner 2"
    files.delete("metrics.jsonl")
    assert not (fetched(store) / "metrics.jsonl").exists()


@pytest.mark.parametrize("uploads", range(6))
def test_a_first_push_that_is_cut_off_anywhere_leaves_a_run_or_nothing(store, tmp_path, uploads):
    files, folder, upload, done = Store(store), tmp_path / "run", Store.upload, []
    (folder / "page").mkdir(parents=True)
    for name in ("dataset.json", "experiment.json", "page/knobs.json"):
        (folder / name).write_text("{}")

    def lost(file, name):
        if len(done) == uploads:
            raise Fault("the machine is lost")
        upload(files, file, name)
        done.append(name)

    files.upload = lost
    with lease.hold(files, folder, print) as held, suppress(Fault):
        Mirror(files, folder, held=held).push()
    there = {path.name for path in fetched(store).iterdir() if not path.name.startswith(".")}
    assert not there or "experiment.json" in there


def test_names_that_lead_out_of_the_folder_are_left_alone(store, tmp_path):
    files = Store(store)
    for name in (
        "experiment.json",
        "../escaped",
        "page/../../escaped",
        "checkpoints/8-000001/../../../escaped",
        f"{tmp_path}/escaped",
    ):
        files.files.pipe_file(f"{files.root}/{name}", b"{}")
    files.write("checkpoints/8-000001/meta.json", b"{}")
    folder = fetched(store)
    assert not list(tmp_path.rglob("*escaped*"))
    assert {path.name for path in folder.iterdir()} == {".lock", "experiment.json", "checkpoints"}


def test_a_start_that_is_refused_leaves_nothing_where_nothing_was(store, tmp_path):
    files = Store(store)
    for _ in range(2):
        with pytest.raises(UserError, match="refused"), written_through(store, tmp_path, print):
            raise UserError("refused")
        assert files.names() == []
    files.write("experiment.json", b"{}")
    with lease.hold(files, tmp_path, print):
        pass
    assert lease.numbers(files) == [1], "numbers only grow once anything was written under them"


def test_what_cannot_be_reached_is_one_line(store, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="check the credentials and the bucket"):
        fdl.train(tiny.experiment(), "s3://no-such-bucket/a", log=None)
    with pytest.raises(UserError, match="--init=s3://no-such-bucket/a cannot be reached"):
        with_init(tiny.experiment(), "s3://no-such-bucket/a")
    with pytest.raises(UserError, match="lacks a bucket or a folder"):
        fdl.train(tiny.experiment(), "s3://bucket", log=None)
    with pytest.raises(UserError, match="works in folders"):
        fdl.train(tiny.experiment(), "az://bucket/a", log=None)
    assert not list(tmp_path.glob("*:*"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match="credentials"):
        fdl.train(tiny.experiment(), store, log=None)
