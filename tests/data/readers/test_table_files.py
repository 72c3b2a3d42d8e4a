import chex
import jax
import numpy as np
import pytest
from PIL import Image

from fdl.data import fingerprint
from fdl.data.modalities.images import images
from fdl.data.modalities.plan import Plan
from fdl.data.modalities.table import table
from fdl.data.readers.find import find
from fdl.data.readers.folders import media_folder
from fdl.data.readers.image_folder import image_folder
from fdl.data.readers.table_files import reading


def write_mixed(path, rows=60, seed=0):
    rng = np.random.default_rng(seed)
    lines = ["age,town,income,pet,bought"]
    for i in range(rows):
        age = "" if i % 7 == 0 else str(20 + i % 40)
        town = "NA" if i % 11 == 0 else ["ulm", "bonn", "kiel"][i % 3]
        lines.append(f"{age},{town},{rng.normal():.3f},{['cat', 'dog'][i % 2]},{['no', 'yes'][i % 2]}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def test_a_mixed_table_with_holes_becomes_numbers_and_categories(tmp_path):
    dataset = table(find(str(write_mixed(tmp_path / "a.csv"))), target="bought")
    spec = dataset.spec
    assert spec.classes == 2
    assert spec.names == ("no", "yes")
    assert spec.categories == (5, 3)  # three towns and NA, which is a word here, two pets, and 0 for missing or new
    for split, size in spec.sizes.items():
        batch = dataset.load(split).fetch(np.arange(size))
        assert batch.inputs["inputs"].shape == (size, 3)  # age, income, and where age is missing
        assert np.isfinite(batch.inputs["inputs"]).all()
        assert batch.inputs["categories"].max() < 5
    shapes = jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), dataset.load("train").fetch(np.arange(2)))
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), dataset.shapes(2))


def test_a_column_that_says_nothing_in_train_is_left_out_unless_it_is_named(tmp_path):
    lines = {split: [f",{third},{i % 2}" for i in range(30)] for split, third in (("train", "0.1"), ("test", "0.2"))}
    for split, rows in lines.items():
        (tmp_path / f"{split}.csv").write_text("\n".join(["empty,constant,y", *rows]))
    with pytest.raises(ValueError, match="no column to learn from"):
        table(find(str(tmp_path)), target="y")
    dataset = table(find(str(tmp_path)), target="y", inputs=["constant"])  # by name, it is as it is
    test = dataset.load("test").fetch(np.arange(30)).inputs
    np.testing.assert_allclose(test[0], [0.1], rtol=1e-6)


def test_a_long_text_is_one_cell(tmp_path):
    (tmp_path / "a.csv").write_text("text,y\n" + f"{'long ' * 50_000},1\n" * 2)
    assert len(find(str(tmp_path / "a.csv")).column("train", "text")[0]) == 249_999


def test_scales_and_vocabularies_come_from_train_alone(tmp_path):
    for split, scale in (("train", 1), ("test", 100)):
        lines = [f"{scale * i},{'new' if split == 'test' else 'old' + str(i % 2)},{i}.5" for i in range(20)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["x,word,y", *lines]))
    dataset = table(find(str(tmp_path)), target="y")
    x, word, _ = Plan.from_json(dataset.fitted["plan"]).columns
    assert word.fitted == {"values": ["old0", "old1"]}
    assert x.fitted["mean"][0] < 20
    test = dataset.load("test").fetch(np.arange(20)).inputs
    assert test["inputs"].max() > 50
    assert (test["categories"] == 0).all()


@pytest.mark.parametrize("form", ["parquet", "npz", "tsv"])
def test_other_forms_give_the_same_as_csv(tmp_path, form):
    x, words, y = np.arange(30) / 7, np.array(["cat", "dog"] * 15), np.arange(30) % 3
    rows = zip(x.tolist(), words, y, strict=True)
    (tmp_path / "a.csv").write_text("\n".join(["x,words,y", *(f"{a!r},{b},{c}" for a, b, c in rows)]))
    if form == "npz":
        np.savez(tmp_path / "a.npz", x=x, words=words, y=y)
    elif form == "tsv":
        (tmp_path / "a.tsv").write_text((tmp_path / "a.csv").read_text().replace(",", "\t"))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"x": x, "words": words, "y": y}), tmp_path / "a.parquet")
    ours, theirs = (
        table(find(str(tmp_path / f"a.{suffix}")), target="y").load("train").fetch(np.arange(20))
        for suffix in (form, "csv")
    )
    chex.assert_trees_all_equal(ours, theirs)


def test_an_npz_may_hold_its_splits(tmp_path):
    x = np.zeros((30, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(30) % 2, x_test=x[:5], y_test=np.arange(5) % 2)
    spec = images(find(str(tmp_path / "a.npz")), target="y").spec
    assert spec.sizes == {"train": 27, "test": 5, "validation": 3}
    assert spec.inputs.shape == (4, 4, 1)


def write_images(folder, shapes, rows=8):
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(rows):
            shape = shapes[i % len(shapes)]
            Image.fromarray(np.full(shape, i, np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("shapes", "expected"), [([(6, 5)], (6, 5, 1)), ([(6, 5, 3)], (6, 5, 3)), ([(9, 5), (6, 8)], (64, 64, 1))]
)
def test_a_folder_of_images_by_class_is_a_dataset(tmp_path, shapes, expected):
    dataset = images(image_folder(write_images(tmp_path / "pets", shapes)))
    assert dataset.spec.inputs.shape == expected
    assert dataset.spec.names == ("cat", "dog")
    resident = dataset.load("train").resident()
    assert resident.arrays[0].shape == (dataset.spec.sizes["train"], *expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"is empty \(0 bytes\)"),
        ("\n\n", "is empty; give a file with a line of names"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells for 2 columns"),
        ("a,a\nx,2\n", "names each column once"),
        ("a,b\n" + "1,x\n" * 30, "1 class"),
        ("a,b\n" + "".join(f"1,name{i}\n" for i in range(3000)), "over 1000 classes"),
        ("a,b\n1,2\n", "too few"),
        ("a,b\n" + "1,x\n2,y\n" * 9 + "1,\n" * 20, "b is missing"),
        ("a,b\n" + "1,x\n2,y\n" * 9 + '\n"3\n",\n', r"a.csv line 21: b is missing"),
        ("a,b\n" + "1,x\n2,y\n" * 9 + "1e999,x\n", r"a.csv line 20: a is inf, which is not finite in 32 bits"),
    ],
)
def test_bad_tables_are_said_in_one_line(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)

    def whole():
        dataset = table(find(str(tmp_path / "a.csv")), target="b", goal="classify")
        return [dataset.load(split) for split in dataset.spec.sizes]

    with pytest.raises(ValueError, match=said) as error:
        whole()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "way"), [("a.csv", "give its encoding"), ("a.txt", "give its encoding")])
def test_bytes_that_are_no_text_are_named_by_their_line(tmp_path, name, way):
    (tmp_path / name).write_bytes("a,b\n1,�\n2,M".encode() + b"\xfcller\n")
    with pytest.raises(ValueError, match=rf"{name} line 3 is not UTF-8.*; {way}"):
        find(str(tmp_path / name))


def test_the_folder_one_stands_in_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write_images(tmp_path / "pets", [(6, 5)]))
    assert find(".").name == "pets"


def test_a_column_is_learned_from_once(tmp_path):
    with pytest.raises(ValueError, match=r"'age' of a .* is already taken"):
        table(find(str(write_mixed(tmp_path / "a.csv"))), inputs=["age", "age"], target="bought")


def test_changed_files_show_even_where_their_number_does_not(tmp_path, monkeypatch):
    path = write_mixed(tmp_path / "a.csv")
    before, folder = find(str(path)).contents(), write_images(tmp_path / "pets", [(6, 5)])
    path.write_text(path.read_text().replace("cat", "cow"))
    assert find(str(path)).contents() != before
    before = image_folder(folder).contents()
    assert image_folder(folder).contents() == before
    Image.fromarray(np.arange(30, dtype=np.uint8).reshape(6, 5)).save(folder / "cat" / "0.png")
    edited = image_folder(folder).contents()
    assert edited != before
    damaged = bytearray((folder / "cat" / "0.png").read_bytes())
    damaged[-20] ^= 1  # of the same size
    (folder / "cat" / "0.png").write_bytes(damaged)
    assert image_folder(folder).contents() not in (before, edited)
    monkeypatch.setattr(fingerprint, "SOON", 0)  # too much to read at every start: names and sizes alone
    listed = image_folder(folder).contents()
    (folder / "cat" / "0.png").rename(folder / "cat" / "00.png")
    assert image_folder(folder).contents() != listed


@pytest.mark.parametrize("name", ["", "/nowhere/a.csv", "README.md"])
def test_sets_that_are_not_there_are_said_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(ValueError, match="give") as error:
        find(name)
    assert "\n" not in str(error.value)


def test_class_folders_that_are_no_text_are_refused_and_files_are_read(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i in range(9):
            Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cats" / "0.png").rename(tmp_path / "cats" / "c\udcff.png")
    assert media_folder(tmp_path).contents()
    (tmp_path / "cats").rename(tmp_path / "c\udcff")
    with pytest.raises(ValueError, match=r"the class folder b'\S+/c\\xff' is not UTF-8; rename it"):
        media_folder(tmp_path)


def test_flags_of_tables_are_refused_where_there_is_none(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 4)), y=np.arange(30) % 2)
    with pytest.raises(ValueError, match=r"--roles and --drop are of the columns of a table; .*a\.npz is none"):
        find(str(tmp_path / "a.npz"), how=reading(roles=["x:number"]))
    with pytest.raises(ValueError, match=r"are of files; mnist is of TFDS"):
        find("mnist", how=reading("header=no"))
