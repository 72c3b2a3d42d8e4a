import io
import json

import numpy as np
import pytest
from PIL import Image

from fdl.data.modalities.audio import sounds
from fdl.data.modalities.images import images
from fdl.data.modalities.pairs import pairs
from fdl.data.modalities.table import table
from fdl.data.modalities.text import texts
from fdl.data.readers.find import find
from fdl.data.tokenizer import Tokens


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def pixels(i):
    return np.full((6, 5, 3), 9 * (i % 25), np.uint8)


def png(i):
    file = io.BytesIO()
    Image.fromarray(pixels(i)).save(file, "PNG")
    return file.getvalue()


def write(folder, count=40):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}.png").write_bytes(png(i))


def listed(path, column="file", count=40, prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"{column},kind", *(f"{prefix}{i}.png,{['cat', 'dog'][i % 2]}" for i in range(count))]))


@pytest.mark.parametrize("page", ["image", "table"])
@pytest.mark.parametrize(
    ("pictures", "csv", "prefix", "dataset"),
    [
        ("", "a.csv", "", "a.csv"),
        ("img", "a.csv", "", "a.csv"),
        ("img", "a.csv", "img/", "."),
        ("img", "meta/a.csv", "", "meta/a.csv"),
        ("img", "meta/a.csv", "img/", "meta"),
        ("train", "train/metadata.csv", "", "."),
    ],
)
def test_a_table_of_paths_is_a_set_of_pictures_to_the_page_of_pictures(tmp_path, pictures, csv, prefix, dataset, page):
    write(tmp_path / "d" / pictures)
    listed(tmp_path / "d" / csv, prefix=prefix)
    if page == "table" and not dataset.endswith(".csv"):
        pytest.skip("to a table a folder is one of tables")
    records = find(str(tmp_path / "d" / dataset), kind=page)
    if page == "table":
        assert records.fields["file"].kind == "text"
        return
    assert records.fields["file"].shape == (6, 5, 3)
    assert np.array_equal(records.read("train", np.array([7]), ("file",))["file"][0], pixels(7))
    assert images(records, target="kind").spec.names == ("cat", "dog")


def test_a_picture_that_changes_is_another_set(tmp_path):
    write(tmp_path)
    listed(tmp_path / "a.csv")

    def first():
        records = find(str(tmp_path / "a.csv"), kind="image")
        dataset = images(records, target="kind")
        return records.contents(), dataset.load("train").resident().arrays[0][0].max()

    before = first()
    (tmp_path / "0.png").write_bytes(png(20))
    (tmp_path / "1.png").write_bytes(png(20))
    (tmp_path / "2.png").write_bytes(png(20))
    after = first()
    assert before[0] != after[0]
    assert (before[1], after[1]) == (0, 180)


def test_the_metadata_of_each_split_names_its_own_pictures(tmp_path):
    for split, count in (("train", 40), ("test", 10)):
        write(tmp_path / split, count)
        listed(tmp_path / split / "metadata.csv", "file_name", count)
    records = find(str(tmp_path), kind="image")
    assert records.sizes == {"train": 40, "test": 10}
    assert np.array_equal(records.read("test", np.array([9]), ("file_name",))["file_name"][0], pixels(9))


def test_pictures_that_a_table_names_and_that_are_nowhere_are_listed(tmp_path):
    write(tmp_path / "d", 38)
    listed(tmp_path / "d" / "a.csv")
    with pytest.raises(
        ValueError, match=r"^2 of 40 pictures cannot be read: .*a\.csv line 40 \(no such file.*line 41 "
    ):
        find(str(tmp_path / "d" / "a.csv"), kind="image")
    listed(tmp_path / "d" / "a.csv", prefix="else/")
    with pytest.raises(
        ValueError, match=r"line 2: file is 'else/0\.png', and no such file is in .*put the files there"
    ):
        find(str(tmp_path / "d" / "a.csv"), kind="image")


def test_parquet_of_the_hub_holds_pictures_and_the_names_of_their_classes(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {
        "image": [{"bytes": png(i), "path": f"{i}.png"} for i in range(40)],
        "label": [i % 2 for i in range(40)],
    }
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    made = pyarrow.table(rows).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (tmp_path / "data").mkdir()
    for split, part in (("train", made.slice(0, 30)), ("test", made.slice(30))):
        parquet.write_table(part, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    records = find(str(tmp_path / "data"), kind="image")
    assert records.sizes == {"train": 30, "test": 10}
    assert np.array_equal(records.read("test", np.array([3]), ("image",))["image"][0], pixels(33))
    dataset = images(records, target="label")
    assert dataset.spec.names == ("cat", "dog")
    assert dataset.spec.inputs.shape == (6, 5, 3)


def test_parquet_of_the_hub_holds_sounds(tmp_path):
    pyarrow, soundfile = pytest.importorskip("pyarrow"), pytest.importorskip("soundfile")
    from pyarrow import parquet

    wave = (9000 * np.sin(np.arange(800))).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, wave, 8000, format="FLAC")
    rows = {"audio": [{"bytes": file.getvalue(), "path": None}] * 40, "label": [i % 2 for i in range(40)]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    records = find(str(tmp_path / "a.parquet"), kind="audio")
    assert records.fields["audio"].rate == 8000
    assert np.array_equal(records.read("train", np.array([3]), ("audio",))["audio"][0], wave)
    assert sounds(records, target="label").fitted["length"] == 800


def test_pixels_in_a_cell_are_a_gray_picture(tmp_path):
    rows = [f"{i % 2},{' '.join(['7', str(i), *['0'] * 14])}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["emotion,pixels", *rows]))
    records = find(str(tmp_path / "a.csv"), kind="image")
    assert "pixels: 16 numbers a cell are a gray picture of 4 x 4" in records.notes
    assert records.read("train", np.array([9]), ("pixels",))["pixels"][0, 0, :, 0].tolist() == [7, 9, 0, 0]
    assert images(records, target="emotion").spec.inputs.shape == (4, 4, 1)
    (tmp_path / "a.csv").write_text("\n".join(["emotion,pixels", *rows, "0,1 2 3"]))
    records = find(str(tmp_path / "a.csv"), kind="image")
    with pytest.raises(ValueError, match=r"line 42: pixels holds 3 numbers from 1 to 3, no 16 from 0 to 255"):
        records.column("train", "pixels")


def test_numbers_that_are_asked_for_as_texts_are_read_as_they_are_written(tmp_path):
    rows = [f"00{i}+{i},{2 * i:03d},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["sum,answer,kind", *rows]))
    records = find(str(tmp_path / "a.csv"), kind="pairs")
    assert pairs(records, inputs="sum", target="answer").spec.sizes["train"] == 32
    (tmp_path / "b.csv").write_text("\n".join(["code,kind", *(f"{i}.50,{'ab'[i % 2]}" for i in range(40))]))
    dataset = texts(find(str(tmp_path / "b.csv"), kind="text"), inputs="code", target="kind", tokens=Tokens("chars"))
    assert "0" in dataset.fitted["tokens"]["pieces"]
    assert "read as they are written: code" in dataset.notes


def test_rows_without_a_text_are_refused_or_dropped_and_counted(tmp_path):
    rows = [f"{'' if i == 5 else f'word {i}'},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["text,kind", *rows]))
    records = find(str(tmp_path / "a.csv"), kind="text")

    def whole():
        dataset = texts(records, inputs="text", target="kind")
        return [dataset.load(split) for split in dataset.spec.sizes]

    with pytest.raises(ValueError, match=r"text is empty, in 1 of .* rows of .*--missing=drop"):
        whole()
    dataset = texts(records, inputs="text", target="kind", missing="drop")
    assert sum(dataset.spec.sizes.values()) == 39
    assert "1 of 40 rows of train are left out: text is missing" in dataset.notes


def test_a_column_of_paths_is_text_to_a_table(tmp_path):
    write(tmp_path)
    listed(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("\n".join(["x,kind", *(f"{i % 7},{'ab'[i % 2]}" for i in range(40))]))
    assert table(find(str(tmp_path / "b.csv"), kind="table"), target="kind").spec.classes == 2


@pytest.mark.parametrize("ids", [lambda i: f"img_{i}", str])
def test_ids_without_a_suffix_name_files_of_one(tmp_path, ids):
    (tmp_path / "train").mkdir()
    for i in range(40):
        Image.fromarray(pixels(i)).save(tmp_path / "train" / f"{ids(i)}.png")
    rows = "\n".join(f"{ids(i)},{i % 2}" for i in range(40))
    (tmp_path / "labels.csv").write_text("id,label\n" + rows)
    records = find(str(tmp_path / "labels.csv"), kind="image")
    assert records.fields["id"].kind == "image"
    assert records.fields["label"].kind == "number"  # though 0.png and 1.png are there
    assert images(records, target="label").spec.classes == 2
    assert np.array_equal(records.read("train", np.array([7]), ("id",))["id"][0], pixels(7))


def test_a_table_that_names_no_files_is_no_hindrance_beside_class_folders(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / name, 12)
    for text in ("a,b\n1,2\n3\n", "x,y\n1,2\n"):  # a broken one, and one of something else
        (tmp_path / "notes.csv").write_text(text)
        records = find(str(tmp_path), kind="image")
        assert records.fields["label"].names == ("cat", "dog")
        assert "not read, files that are no pictures: 1 .csv" in records.notes
