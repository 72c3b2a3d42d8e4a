"""New pictures and sounds that a table lists or holds: asked of a run that was trained on such a table, and moved."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

import fdl
from fdl.__main__ import launch
from fdl.core.errors import UserError
from fdl.data.modalities.images import images
from fdl.data.modalities.new_rows import new_rows
from fdl.data.readers.find import find

KINDS = ("dark", "light")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FDL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def png(number, seed, shape=(10, 12, 3)):
    pixels = np.random.default_rng(seed).integers(0, 80, shape) + 150 * number
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def listing(folder: Path, count: int, seed: int, name="list.csv", shape=(10, 12, 3)) -> Path:
    """Write pictures and a table of their names, in an order of no class, with an Id that no model uses."""
    (folder / "img").mkdir(parents=True)
    rows = []
    for i in range(count):
        (folder / "img" / f"{i}.png").write_bytes(png(i % 2, seed + i, shape))
        rows.append({"Id": 100 + i, "file": f"{i}.png", "kind": KINDS[i % 2]})
    frame = pandas.DataFrame(rows[::-1])
    table = folder / name
    if name.endswith(".csv"):
        frame.to_csv(table, index=False)
    elif name.endswith(".jsonl"):
        frame.to_json(table, orient="records", lines=True)
    else:
        frame.to_parquet(table)
    return table


def hub(count: int, seed: int, path=True) -> pandas.DataFrame:
    cells = [{"bytes": png(i % 2, seed + i), "path": f"{i}.png" if path else None} for i in range(count)]
    return pandas.DataFrame({"Id": range(count), "image": cells, "kind": [KINDS[i % 2] for i in range(count)]})


def moved_run(home: Path, data: Path, page: str, **knobs) -> Path:
    """Train, move the run and delete the data."""
    knobs = {"epochs": 20.0, "batch_size": 8, "width": 8, "target": "kind", **knobs}
    fdl.train(replace(fdl.load(page, dataset=str(data), **knobs), executor="jit"), home / "run", log=None)
    shutil.rmtree(data.parent)
    return (home / "run").rename(home / "moved")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("listed")
    return moved_run(home, listing(home / "data", 40, 0), "image", model="mlp")


@pytest.mark.parametrize("name", ["new.csv", "new.jsonl", "new.parquet"])
def test_a_table_of_paths_is_predicted_in_order_with_its_other_columns(run, tmp_path, name):
    table = listing(tmp_path / "d", 10, 500, name, shape=(20, 24, 3))
    out = tmp_path / "out.jsonl"
    assert launch(["fdl", "--mode=predict", f"--workdir={run}", f"--input={table}", f"--output={out}"]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["Id"] for line in lines] == [109 - i for i in range(10)]
    assert [line["file"] for line in lines] == [f"{9 - i}.png" for i in range(10)]
    assert [line["kind"] for line in lines] == [line["kind (given)"] for line in lines]
    files = [str(tmp_path / "d" / "img" / f"{9 - i}.png") for i in range(10)]
    trained = fdl.restore(run)
    np.testing.assert_array_equal(trained(files)["probabilities"], trained(str(table))["probabilities"])


def test_such_a_table_is_evaluated_and_a_folder_with_it_is_that_table(run, tmp_path):
    table = listing(tmp_path / "d", 10, 500)
    frame = pandas.read_csv(table)
    frame.loc[:1, "kind"] = frame.loc[:1, "kind"].map({"dark": "light", "light": "dark"})
    frame.to_csv(table, index=False)
    trained = fdl.restore(run)
    for data in (table, str(table), table.parent):
        assert trained.evaluate(data=data)["new"]["accuracy"] == pytest.approx(0.8)


def test_rows_in_memory_name_files_and_what_cannot_be_read_is_named_by_its_row(run, tmp_path):
    listing(tmp_path / "d", 4, 500)
    whole = [str(tmp_path / "d" / "img" / f"{i}.png") for i in range(4)]
    trained = fdl.restore(run)
    assert trained({"file": whole})["name"] == ["dark", "light", "dark", "light"]
    assert trained([{"file": name} for name in whole])["name"] == ["dark", "light", "dark", "light"]
    assert trained(pandas.DataFrame({"picture": whole}))["name"] == ["dark", "light", "dark", "light"]
    with pytest.raises(UserError, match=r"has no column file of image files or bytes.*its columns are size"):
        trained(pandas.DataFrame({"size": [1, 2]}))
    (tmp_path / "d" / "img" / "2.png").write_bytes(b"no picture")
    frame = pandas.DataFrame({"file": ["0.png", None, "2.png", "9.png"]})
    frame.to_csv(tmp_path / "d" / "new.csv", index=False)
    with pytest.raises(UserError, match=r"3 of 4 files cannot be read: .*line 3 .*line 4 .*line 5 "):
        trained(tmp_path / "d" / "new.csv")
    pandas.DataFrame({"file": ["a/0.png"]}).to_csv(tmp_path / "d" / "far.csv", index=False)
    with pytest.raises(UserError, match="no such file is in"):
        trained(tmp_path / "d" / "far.csv")


@pytest.mark.parametrize("path", [True, False])
def test_pictures_in_cells_are_predicted_and_evaluated(tmp_path, path):
    (tmp_path / "data").mkdir()
    hub(40, 0, path).to_parquet(tmp_path / "data" / "train.parquet")
    run = moved_run(tmp_path, tmp_path / "data" / "train.parquet", "image", model="mlp")
    new = hub(6, 500, path)
    new.to_parquet(tmp_path / "new.parquet")
    out = tmp_path / "out.csv"
    words = ["--mode=predict", f"--workdir={run}", f"--input={tmp_path / 'new.parquet'}", f"--output={out}"]
    assert launch(["fdl", *words, "--columns=Id,kind"]) == 0
    assert out.read_text().split() == ["Id,kind", *(f"{i},{KINDS[i % 2]}" for i in range(6))]
    trained = fdl.restore(run)
    assert trained.evaluate(data=new)["new"]["accuracy"] == 1.0
    assert trained(new.drop(columns="kind"))["name"] == [KINDS[i % 2] for i in range(6)]


def test_sounds_that_a_table_lists_are_predicted_at_the_rate_of_training(tmp_path):
    soundfile = pytest.importorskip("soundfile")

    def write(folder, count, rate):
        folder.mkdir()
        for i in range(count):
            wave = np.sin(np.arange(rate // 4) * (400 + 2000 * (i % 2)) / rate) * (0.3 + 0.01 * i)
            soundfile.write(folder / f"{i}.wav", wave, rate)
        rows = {"sound": [f"{i}.wav" for i in range(count)], "kind": [KINDS[i % 2] for i in range(count)]}
        pandas.DataFrame(rows).to_csv(folder / "list.csv", index=False)
        return folder / "list.csv"

    run = moved_run(tmp_path, write(tmp_path / "data", 24, 8000), "audio")
    trained = fdl.restore(run)
    new = write(tmp_path / "new", 6, 16000)
    assert trained(new)["name"] == [KINDS[i % 2] for i in range(6)]
    assert trained.evaluate(data=new)["new"]["accuracy"] == 1.0


def test_gray_pictures_as_numbers_in_cells_are_read_as_in_training(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 4, 4, 1)).astype(np.uint8)
    cells = [" ".join(map(str, each.ravel())) for each in pixels]
    frame = pandas.DataFrame({"pixels": cells, "kind": [KINDS[i % 2] for i in range(40)]})
    frame.to_csv(tmp_path / "train.csv", index=False)
    dataset = images(find(str(tmp_path / "train.csv"), kind="image"), target="kind")
    rows = new_rows(dataset, frame)
    np.testing.assert_array_equal(rows.inputs, pixels)
    assert list(rows.carried) == ["kind"]
