"""Data at gs:// addresses, against an emulator; `nox -s gcs` runs it."""

import numpy as np
import pytest

import gcs_server
from fdl.core import object_store
from fdl.data import find

pytestmark = pytest.mark.filterwarnings("ignore")  # of aiohttp at the end of a loop
TABLE = "a,b,y\n" + "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(200))


def test_a_file_and_a_folder_are_read_as_local_ones_are_and_copied_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "table.csv").write_text(TABLE)
    near = find(str(tmp_path / "table.csv"))
    with gcs_server.serving():
        files = object_store.filesystem("gs")
        for name in ("table.csv", "sets/train.csv", "sets/test.csv"):
            files.pipe_file(f"{gcs_server.BUCKET}/{name}", TABLE.encode())
        far = find(f"gs://{gcs_server.BUCKET}/table.csv")
        assert "is unchanged since" in find(f"gs://{gcs_server.BUCKET}/table.csv").origin
        files.pipe_file(f"{gcs_server.BUCKET}/table.csv", TABLE.replace("yes", "may").encode())
        assert "it has changed there" in find(f"gs://{gcs_server.BUCKET}/table.csv").origin
        assert find(f"gs://{gcs_server.BUCKET}/sets").sizes == {"train": 200, "test": 200}
    assert far.fields == near.fields
    for name in near.fields:
        np.testing.assert_array_equal(far.column("train", name), near.column("train", name))
