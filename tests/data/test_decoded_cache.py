import errno
import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.data import decoded_cache
from fdl.data.dataset import Spec
from fdl.data.decoded_cache import stored
from fdl.data.records import Field, Records

SIZE = 40


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def resident(decoded: list[int] | None = None):
    """Decode, or read what was kept, and return the arrays; what had to be decoded is added to a list."""

    def read(split, indices, names):
        if decoded is not None:
            decoded.extend(indices.tolist())
        return {"x": np.stack([np.full(3, i, np.float32) for i in indices])}

    records = Records(name="made", fields={"x": Field(kind="array")}, sizes={"train": SIZE}, read=read)
    spec = Spec(inputs=jax.ShapeDtypeStruct((3,), np.float32), targets=None, sizes={"train": SIZE})

    def join(rows, split, indices):
        return Batch(rows["x"], None, np.ones(len(indices), np.float32))

    inputs, _ = stored(records, spec, "train", ("x",), join, key="").resident().arrays
    np.testing.assert_array_equal(inputs[:, 1], np.arange(SIZE))
    return inputs


def entry(folder):
    (found,) = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return found


def test_what_was_decoded_once_is_read_from_then_on(folder, capsys):
    resident()
    decoded = []
    resident(decoded)
    assert decoded == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["a bit", "cut short", "no digests", "another digest", "a file gone", "no list"])
def test_a_damaged_set_is_named_and_replaced(folder, capsys, damage):
    resident()
    file, digests = entry(folder) / "0.npy", entry(folder) / "digests.json"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    hurt = {
        "a bit": lambda: file.write_bytes(data),
        "cut short": lambda: os.truncate(file, 200),
        "no digests": digests.unlink,
        "another digest": lambda: digests.write_text(json.dumps(["0"])),
        "a file gone": file.unlink,
        "no list": lambda: digests.write_text("[" * 100_000),
    }
    hurt[damage]()
    decoded = []
    resident(decoded)
    assert sorted(decoded) == list(range(SIZE))
    assert capsys.readouterr().err == f"warning: the decoded set {entry(folder)} is damaged; it is decoded again\n"
    resident(decoded := [])
    assert decoded == []


def test_a_full_disk_is_noticed_before_anything_is_mapped_and_leaves_nothing(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoded_cache.os, "posix_fallocate", full)
    resident()
    said = capsys.readouterr().err
    assert said.startswith(f"warning: decoded train is not kept under {folder}: No space left on device; it takes")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("refusal", ["mkdtemp", "open_memmap", "rename"])
def test_where_nothing_can_be_kept_it_is_done_without(folder, capsys, monkeypatch, refusal):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    where = {"mkdtemp": decoded_cache.tempfile, "open_memmap": np.lib.format, "rename": decoded_cache.Path}
    monkeypatch.setattr(where[refusal], refusal, refuse)
    resident(decoded := [])
    assert sorted(decoded) == list(range(SIZE))  # once, even where it was decoded before it could not be kept
    assert "is not kept under" in capsys.readouterr().err
    assert not folder.exists() or list(folder.iterdir()) == []


def test_without_a_home_it_is_done_without(monkeypatch, capsys):
    monkeypatch.delenv("FDL_CACHE")
    monkeypatch.setattr(decoded_cache, "cache_folder", lambda: None)
    resident()
    assert capsys.readouterr().err.count("\n") == 1


def test_an_error_of_reading_is_no_error_of_the_cache(folder):
    def read(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file", "picture.png")

    with pytest.raises(FileNotFoundError, match=r"picture\.png"):
        decoded_cache._resident("x", jax.ShapeDtypeStruct((3,), np.float32), SIZE, read, "train")
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_makes_is_not(folder):
    make = (
        "import sys, time, pathlib\nfrom fdl.data.decoded_cache import _draft\n"
        "with _draft(pathlib.Path(sys.argv[1])) as draft:\n    print(draft, flush=True)\n    time.sleep(60)\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", make, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    drafts = [process.stdout.readline().strip() for process in both]
    both[0].send_signal(signal.SIGKILL)
    both[0].wait()
    resident()
    try:
        assert [os.path.exists(draft) for draft in drafts] == [False, True]
    finally:
        for process in both:
            process.kill()
            process.communicate()
