"""Run folders on gs:// addresses, against an emulator; `nox -s gcs` runs them."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import fdl
import gcs_server
import tiny
from fdl.core.errors import Fault, UserError
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.mirror import fetched
from fdl.runs.stores.store import Store
from lost_machine import train_until_lost

pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp at the end of a loop


@pytest.fixture(scope="module")
def server():
    with gcs_server.serving():
        yield


@pytest.fixture
def address(server, monkeypatch, tmp_path):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    return f"gs://bucket/{tmp_path.name}"


def test_one_of_several_conditional_puts_alone_succeeds(address):
    stores = [Store(address) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: stores[i].create("once", f"{i}".encode()), range(8)))
    assert made.count(True) == 1
    assert stores[0].read("once") == f"{made.index(True)}".encode()


def test_one_owner(address, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.3)
    monkeypatch.setattr(lease, "SILENCE", 2.0)
    files, here, there = Store(address), tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    with lease.hold(files, here, print) as first:
        with pytest.raises(UserError, match="in use by pid"), lease.hold(files, there, print):
            pass
        files.create(lease.name_of(first.number + 1), b"the one that took it")
        with pytest.raises(Fault, match="taken by another run"):
            first.renew()


@pytest.mark.slow
def test_an_empty_machine_goes_on_from_the_store_alone(address, tmp_path):
    made = tiny.experiment(save_every=4)
    fdl.train(made, tmp_path / "plain", log=None)

    train_until_lost(made, address, pushes=2)
    shutil.rmtree(tmp_path / "cache")
    assert Checkpoints(fetched(address) / "checkpoints").last() == 8
    lines = []
    fdl.train(made, address, log=lines.append)
    assert any("goes on from step 8" in line for line in lines)
    states = [Checkpoints(path / "checkpoints").verify(12)["leaves"] for path in (fetched(address), tmp_path / "plain")]
    assert states[0] == states[1]


def test_what_cannot_be_reached_is_one_line(address):
    with pytest.raises(UserError, match="check the credentials and the bucket"):
        fdl.train(tiny.experiment(), "gs://no-such-bucket/a", log=None)
