import datetime as dt

import chex
import numpy as np
import pytest

from fdl.data import fingerprint
from fdl.data.modalities.table import table
from fdl.data.readers.find import find
from fdl.data.readers.tables import parquet_shards

pyarrow = pytest.importorskip("pyarrow")


def write_shards(folder, rows=900, shards=3):
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    ages = [None if i % 11 == 0 else int(age) for i, age in enumerate(rng.integers(1, 90, rows))]
    whole = pyarrow.table(
        {
            "row": np.arange(rows),
            "age": pyarrow.array(ages, pyarrow.int16()),
            "rate": rng.normal(size=rows).astype(np.float32),
            "count": rng.integers(0, 10**12, rows),
            "town": [None if i % 7 == 0 else ["Ulm ", "Ulm", "Kiel", "NA"][i % 4] for i in range(rows)],
            "code": [f"{i % 90:03d}" for i in range(rows)],
            "price": [f"€ {i / 4:,.2f}" for i in range(rows)],
            "member": [bool(i % 3) for i in range(rows)],
            "said": [["true", "FALSE"][i % 2] for i in range(rows)],
            "day": [dt.date(2020, 1, 1) + dt.timedelta(days=i // 3) for i in range(rows)],
            "y": rng.integers(0, 3, rows),
        }
    )
    folder.mkdir()
    size = rows // shards
    for i in range(shards):
        part = whole.slice(i * size, size)
        parquet.write_table(part, folder / f"train-{i:05d}-of-{shards:05d}.parquet", row_group_size=128)
    return str(folder)


def test_a_table_that_is_not_held_gives_the_same_plan_and_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    folder = write_shards(tmp_path / "shards")
    held = table(find(folder), target="y")
    monkeypatch.setattr(parquet_shards, "HELD", 0)
    records = find(folder)
    assert records.on_disk
    streamed = table(records, target="y")
    assert streamed.fitted["plan"]["columns"] == held.fitted["plan"]["columns"]
    assert streamed.spec == held.spec
    for split, size in held.spec.sizes.items():
        for rows in (np.arange(size), np.random.default_rng(1).integers(0, size, 40)):
            ours, theirs = streamed.load(split).fetch(rows), held.load(split).fetch(rows)
            chex.assert_trees_all_equal(ours, theirs)
    assert str(records.at("train", 700)).endswith("train-00002-of-00003.parquet row 100")


def test_rows_are_kept_once_and_only_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parquet_shards, "HELD", 0)
    folder = write_shards(tmp_path / "shards")
    find(folder).column("train", "age")
    (kept,) = (tmp_path / "cache").iterdir()
    before = kept.stat().st_mtime_ns
    find(folder).column("train", "age")
    assert kept.stat().st_mtime_ns == before

    def torn(*args):
        raise KeyboardInterrupt

    kept.unlink()
    monkeypatch.setattr(parquet_shards, "_values", torn)
    with pytest.raises(KeyboardInterrupt):
        find(folder).column("train", "age")
    assert not list((tmp_path / "cache").iterdir())


def test_rows_of_a_large_file_that_was_replaced_by_one_of_its_size_are_not_taken(tmp_path, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parquet_shards, "HELD", 0)
    monkeypatch.setattr(fingerprint, "SOON", 0)
    file, sizes, seen = tmp_path / "a.parquet", [], []
    for number in (1.5, 2.5):
        rows = pyarrow.table({"x": np.full(400, number), "y": np.arange(400) % 7 / 2})
        parquet.write_table(rows, file, compression="none", use_dictionary=False)
        sizes.append(file.stat().st_size)
        seen.append(float(find(str(file)).column("train", "x")[0]))
    assert sizes[0] == sizes[1]
    assert seen == [1.5, 2.5]
