import os
import socket
import subprocess
import sys

import pytest

from fdl import lock


def test_a_held_folder_names_its_owner(tmp_path):
    with lock.hold(tmp_path):
        named = f"in use by pid {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(ValueError, match=named):
            lock.refuse_held(tmp_path)
    lock.refuse_held(tmp_path)


def test_a_dead_owner_holds_nothing(tmp_path):
    die = "import os, sys; from pathlib import Path; from fdl import lock\n"
    die += "with lock.hold(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", die, str(tmp_path)]).returncode == -9
    assert "pid" in (tmp_path / lock.NAME).read_text()
    with lock.hold(tmp_path, patience=0):
        pass


def test_looking_in_makes_nothing(tmp_path):
    lock.refuse_held(tmp_path / "new")
    assert not list(tmp_path.iterdir())
