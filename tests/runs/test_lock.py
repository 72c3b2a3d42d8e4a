import os
import socket
import subprocess
import sys

import pytest

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
