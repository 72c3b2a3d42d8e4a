import errno
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from fdl.core.errors import Fault
from fdl.runs import lock


def test_a_held_folder_names_its_owner(tmp_path):
    with lock.hold(tmp_path):
        named = f"in use by pid {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(ValueError, match=named):
            lock.refuse_held(tmp_path)
    lock.refuse_held(tmp_path)


def test_a_dead_owner_holds_nothing(tmp_path):
    die = "import os, sys; from pathlib import Path; from fdl.runs import lock\n"
    die += "with lock.hold(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", die, str(tmp_path)]).returncode == -9
    assert "pid" in (tmp_path / lock.NAME).read_text()
    with lock.hold(tmp_path, patience=0):
        pass


def test_looking_in_makes_nothing(tmp_path):
    lock.refuse_held(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_to_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--workdir=\S+/file/run cannot be written to \(Not a directory\)"):
        lock.hold(tmp_path / "file" / "run").__enter__()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / lock.NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="cannot be written to"):
        lock.refuse_held(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_folder_that_is_removed_or_replaced_is_no_longer_held(tmp_path):
    run = tmp_path / "run"
    with lock.hold(run) as held:
        held.check()
        shutil.rmtree(run)
        with pytest.raises(Fault, match=r"--workdir=\S+ was removed, replaced or taken"):
            held.check()
        with lock.hold(run) as other:
            other.check()
            assert not held.still()


def test_a_path_that_is_no_text_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="is not UTF-8"):
        lock.hold(tmp_path / "r\udcff").__enter__()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "SILENCE", 0.5)


def test_without_locks_heartbeats_guard_a_folder_and_its_user_is_told(tmp_path, no_locks):
    said = []
    with lock.hold(tmp_path, log=said.append) as held:
        assert "file system without locks" in said[0]
        with pytest.raises(ValueError, match=f"in use by pid {os.getpid()} on"):
            lock.hold(tmp_path, log=str).__enter__()
        held.check()
    begun = time.monotonic()
    with lock.hold(tmp_path, log=str):  # what its owner left needs no waiting
        assert time.monotonic() - begun < 0.5


def test_without_locks_who_comes_back_from_the_dead_finds_its_folder_taken(tmp_path, no_locks):
    (tmp_path / lock.NAME).write_text("pid 1 on a host that is off\nabc\n000000000007\n")
    with lock.hold(tmp_path, log=str) as held:
        held.check()
        (tmp_path / lock.NAME).write_text("pid 2 on another host\ndef\n000000000001\n")
        with pytest.raises(Fault, match="taken"):
            held.check()
    assert "pid 2" in (tmp_path / lock.NAME).read_text()


def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path):
    folder = tmp_path / ("x" * 300)
    lock.refuse_held(folder)
    with pytest.raises(ValueError, match=r"cannot be written to \(File name too long\)"):
        lock.hold(folder).__enter__()
    os.mkfifo(tmp_path / lock.NAME)
    with pytest.raises(ValueError, match="is no plain file; remove it"):
        lock.refuse_held(tmp_path)
