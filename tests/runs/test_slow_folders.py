"""A folder such as a mounted drive: no locks, and a listing that shows what was done only a while later."""

import errno

import pytest

import fdl
import tiny
from fdl.core.errors import UserError
from fdl.runs import lock
from fdl.runs.checkpoints.manager import Checkpoints


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """A folder where flock raises, and the steps that are listed are those of the listing before."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "SILENCE", 0.3)

    def no_locks(*args):
        raise OSError(errno.ENOSYS, "no locks here")

    steps, before = Checkpoints.steps, dict[str, list[int]]()

    def lagging(self):
        shown = before.get(str(self.folder), [])
        before[str(self.folder)] = steps(self)
        return shown if "drive" in str(self.folder) else steps(self)

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    monkeypatch.setattr(Checkpoints, "steps", lagging)
    return tmp_path / "drive", lambda: before.clear()


def test_a_run_in_a_folder_without_locks_whose_listings_lag_ends_as_elsewhere(drive, tmp_path):
    folder, forget = drive
    made, lines = tiny.experiment(save_every=2), []
    fdl.train(made, tmp_path / "plain", log=None)
    fdl.train(made, folder, log=lines.append)
    assert any("file system without locks; heartbeats guard it" in line for line in lines)
    forget()  # another machine begins with listings of nothing at all
    assert fdl.train(made, folder, log=None)["step"] == 12
    states = [Checkpoints(path / "checkpoints").verify(12)["leaves"] for path in (folder, tmp_path / "plain")]
    assert states[0] == states[1]


def test_a_second_start_there_is_refused_while_the_first_beats(drive):
    folder, _ = drive
    with lock.hold(folder), pytest.raises(UserError, match="in use by pid"), lock.hold(folder):
        pass
