"""Files that hold something else than their names say end in one line each: no traceback, no crash."""

import gzip
import io

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
from fdl.core.errors import UserError
from fdl.data.readers.find import find
from kinds.made import base


def contents():
    """Return bytes by name: cut short, of another kind, or of nothing."""
    csv, arrays, parquet = base().to_csv(index=False).encode(), io.BytesIO(), io.BytesIO()
    np.savez(arrays, x=np.zeros((30, 3)), y=np.arange(30))
    base().to_parquet(parquet)
    return {
        "random": np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes(),
        "zeros": bytes(3000),
        "line ends": b"\n\n\n",
        "nulls": b"null\n",  # ends a process in pyarrow's reader of JSON
        "deep": b"[" * 100_000,
        "mark alone": b"\xef\xbb\xbf",
        "half a zip": arrays.getvalue()[:-30],
        "half a Parquet": parquet.getvalue()[:-9],
        "half a gzip": gzip.compress(csv)[:-20],
        "names alone": b"a,b,y\n",
    }


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet", ".feather", ".npz", ".zip", ".gz"])
def test_what_a_file_holds_in_place_of_a_table_is_named_in_one_line(tmp_path, suffix):
    for data in contents().values():
        file = tmp_path / f"a{suffix}"
        file.write_bytes(data)
        with pytest.raises(UserError) as error:
            find(str(file), kind="table")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1000
