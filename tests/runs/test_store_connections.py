"""Connections to a store that break, stall or are cut: a run goes on or ends in one line, and no step is half."""

import random
import shutil
from functools import partial

import pytest

import fdl
import s3_server
import tcp_proxy
import tiny
from fdl.core import object_store
from fdl.core.errors import Fault, UserError
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.mirror import Mirror, fetched
from fdl.runs.stores.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp and botocore at the end of a loop


@pytest.fixture
def proxy(store, s3_port, monkeypatch):
    """A proxy before the server, by which a store that is opened from now on is reached; a lease is soon silent."""
    monkeypatch.setattr(lease, "BEAT", 0.5)
    monkeypatch.setattr(lease, "SILENCE", 2.0)
    with tcp_proxy.proxying(s3_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def there(store, s3_port, monkeypatch, tmp_path):
    """The checkpoints that another machine, whose connections nothing hurts, sees on the store."""

    def look():
        with monkeypatch.context() as patch:
            for name, value in {**s3_server.environment(s3_port), "FDL_CACHE": str(tmp_path / "there")}.items():
                patch.setenv(name, value)
            patch.setattr(object_store, "PATIENCE", 60.0)
            shutil.rmtree(tmp_path / "there", ignore_errors=True)
            found = Checkpoints(fetched(store) / "checkpoints")
        for step in found.steps():
            found.verify(step)
        return found

    return look


def draw(rng, share):
    return rng.choice(tcp_proxy.FAULTS) if rng.random() < share else ""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.2])
def test_broken_connections_end_a_run_in_one_line_or_not_at_all(store, proxy, there, tmp_path, share):
    made, rng, newest, ends = tiny.experiment(save_every=2), random.Random(f"{share}"), 0, []
    fdl.train(made, tmp_path / "plain", log=None)
    for often in (share, share, share, share, 0.0):  # the fifth start is let through
        proxy.fate = partial(draw, rng, often)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        try:
            report = fdl.train(made, store, log=None)
            break
        except (Fault, UserError) as error:
            ends.append(str(error))
        assert (there().last() or 0) >= newest, "what was whole is lost"
        newest = there().last() or 0
    assert report["step"] == 12
    assert sum(proxy.met.values()) > 2, proxy.met
    assert all(store in end and "\n" not in end for end in ends), ends
    assert there().verify(12)["leaves"] == Checkpoints(tmp_path / "plain/checkpoints").verify(12)["leaves"]


@pytest.mark.slow
@pytest.mark.parametrize("fate", tcp_proxy.LATER)
def test_a_save_that_stalls_is_made_up_for_at_the_next(store, proxy, there, monkeypatch, fate):
    push, pushes, lines = Mirror.push, [], []

    def stalled(mirror):
        pushes.append(mirror)
        proxy.fate = lambda: fate if len(pushes) == 2 else ""
        monkeypatch.setattr(object_store, "PATIENCE", 2.0 if len(pushes) == 2 else 60.0)
        push(mirror)

    monkeypatch.setattr(Mirror, "push", stalled)
    assert fdl.train(tiny.experiment(save_every=4), store, log=lines.append)["step"] == 12
    assert proxy.met[fate] >= 1
    late = [line for line in lines if "the last save is not on the store yet" in line]
    assert len(late) == 1, lines
    assert "no answer in 2 s" in late[0]
    assert there().steps()[-1] == 12


@pytest.mark.slow
def test_a_store_that_stays_silent_ends_the_run_in_one_line(store, proxy, there, monkeypatch):
    push = Mirror.push

    def silenced(mirror):
        push(mirror)
        proxy.fate = lambda: "stalled"
        monkeypatch.setattr(object_store, "PATIENCE", 2.0)

    monkeypatch.setattr(Mirror, "push", silenced)
    with pytest.raises(Fault, match=f"{store}: no answer in 2 s.*run the same command"):
        fdl.train(tiny.experiment(save_every=4), store, log=None)
    assert there().steps() == [4]
    with pytest.raises(UserError, match=f"{store} cannot be reached: no answer in 2 s"):
        fdl.train(tiny.experiment(save_every=4), store, log=None)
    proxy.fate = lambda: ""
    monkeypatch.setattr(object_store, "PATIENCE", 60.0)
    monkeypatch.setattr(Mirror, "push", push)
    assert fdl.train(tiny.experiment(save_every=4), store, log=None)["step"] == 12
    assert there().steps() == [8, 12]


def test_a_conditional_put_whose_answer_is_lost_has_created_what_it_wrote(store, proxy):
    files, fates = Store(store), ["lost answer"]
    proxy.fate = lambda: fates.pop() if fates else ""
    assert files.create("once", b"mine")
    assert proxy.met == {"lost answer": 1}
    assert not files.create("once", b"another's")
    assert files.read("once") == b"mine"


@pytest.mark.slow
def test_a_server_that_is_gone_is_one_line(store, proxy):
    files = Store(store)
    proxy.fate = lambda: "reset"
    with pytest.raises(Fault, match=f"{store}: .*run the same command when the store can be reached"):
        files.names()
    with pytest.raises(UserError, match=r"cannot be reached: .*check the credentials and the bucket"):
        Store(store)
