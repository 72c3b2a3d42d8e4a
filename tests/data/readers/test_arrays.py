import numpy as np
import pytest

from fdl.data.modalities.audio import sounds
from fdl.data.modalities.images import images
from fdl.data.modalities.table import table
from fdl.data.modalities.videos import videos
from fdl.data.readers.find import find
from fdl.data.readers.tensorflow_stub import install
from fdl.data.readers.tfds import tfds
from tests.data.prepared import prepare


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 8, 6, 3), np.uint8)
Y = np.arange(60) % 5


def saved(path, page, **arrays):
    np.savez(path / "a.npz", **arrays)
    return find(str(path / "a.npz"), kind=page)


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({"x": X, "y": Y}, ""),
        ({"x": X, "y": Y[:, None].astype(np.uint8)}, ""),
        ({"x": X.transpose(0, 3, 1, 2), "y": Y}, "channels first, are turned to channels last"),
        ({"x": X.transpose(1, 2, 3, 0), "y": Y}, "examples last, is turned to examples first"),
        ({"x": X.astype(np.int64), "y": Y}, "whole numbers from 0 to 255 are taken for bytes"),
        ({"x": X.astype(np.uint16) * 256, "y": Y}, "16 bits are divided by 256"),
        ({"x": X, "y": Y, "classes": np.array(list("abcde"))}, "classes names the classes of y"),
        ({"x": X, "y": Y, "made_by": np.array("me")}, "left out, one value for all rows: made_by"),
    ],
)
def test_pictures_in_every_layout_are_the_same_pictures(tmp_path, arrays, note):
    records = saved(tmp_path, "image", **arrays)
    assert any(note in said for said in records.notes) or not note
    assert np.array_equal(records.read("train", np.arange(60), ("x",))["x"], X)
    dataset = images(records)
    assert dataset.spec.inputs.shape == (8, 6, 3)
    assert dataset.spec.classes == 5
    assert dataset.spec.names == (tuple("abcde") if "classes" in arrays else tuple("01234"))


@pytest.mark.parametrize(("scale", "note"), [(255.0, "floats from 0 to 1"), (1.0, "floats from 0 to 255")])
def test_floats_are_scaled_as_bytes_are(tmp_path, scale, note):
    records = saved(tmp_path, "image", x=(X / scale).astype(np.float32), y=Y)
    assert any(note in said for said in records.notes)
    seen = records.read("train", np.arange(60), ("x",))["x"]
    assert np.allclose(seen, X.astype(np.float32) / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("X_TRAIN", "Y_TRAIN", "X_valid", "Y_valid", "X_Test", "Y_Test"),
    ],
)
def test_names_say_the_splits_in_front_or_behind(tmp_path, names):
    arrays = (X, Y, X[:20], Y[:20], X[:10], Y[:10])
    spec = images(saved(tmp_path, "image", **dict(zip(names, arrays, strict=True)))).spec
    assert spec.sizes == {"train": 60, "validation": 20, "test": 10}


FILM = RNG.integers(0, 256, (40, 5, 8, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (FILM, (5, 8, 6, 3)),
        (FILM.transpose(0, 4, 1, 2, 3), (5, 8, 6, 3)),
        (FILM.transpose(0, 1, 4, 2, 3), (5, 8, 6, 3)),
        (FILM[..., 0], (5, 8, 6, 1)),
        (FILM / 255, (5, 8, 6, 3)),
        (FILM.astype(np.float32), (5, 8, 6, 3)),
    ],
)
def test_videos_in_every_layout_are_the_same_videos(tmp_path, x, shape):
    records = saved(tmp_path, "video", x=x, y=np.arange(40) % 2)
    assert np.array_equal(records.read("train", np.arange(40), ("x",))["x"], FILM[..., : shape[-1]])
    assert videos(records).spec.inputs.shape == shape


def test_booleans_are_black_and_white(tmp_path):
    records = saved(tmp_path, "image", x=X[..., 0] > 127, y=Y)
    assert np.array_equal(records.read("train", np.arange(60), ("x",))["x"], (X[..., :1] > 127) * np.uint8(255))
    assert "x: booleans are 0 and 255" in records.notes
    assert images(records).spec.inputs.shape == (8, 6, 1)


def test_what_is_no_picture_is_refused_with_the_shapes_that_are(tmp_path):
    with pytest.raises(ValueError, match=r"holds no image: x of uint8\[40, 5, 8, 6\].*pictures are \[n, H, W\]"):
        saved(tmp_path, "image", x=FILM[..., 0], y=np.arange(40) % 2)
    with pytest.raises(ValueError, match="holds no image"):
        saved(tmp_path, "image", x=X.astype(np.int64) * 1000, y=Y)


WAVE = (3000 * RNG.normal(size=(40, 400))).astype(np.int16)


@pytest.mark.parametrize(
    ("arrays", "expected", "note"),
    [
        ({"x": WAVE}, WAVE, ""),
        ({"x": np.stack([WAVE, WAVE], -1)}, WAVE, "2 channels are averaged"),
        ({"x": np.stack([WAVE, WAVE], 1)}, WAVE, "2 channels are averaged"),
        ({"x": WAVE.astype(np.int32)}, WAVE, ""),
        ({"x": WAVE.astype(np.int32) * 2**16}, WAVE / 2**15, "32 bits a sample are divided by 2^31"),
        ({"x": WAVE / 2**15}, WAVE / 2**15, ""),
        ({"x": WAVE, "sample_rate": np.array(8000)}, WAVE, "sample_rate is 8,000 samples a second"),
    ],
)
def test_sounds_of_every_dtype_are_the_same_sounds(tmp_path, arrays, expected, note):
    records = saved(tmp_path, "audio", y=np.arange(40) % 2, **arrays)
    assert any(note in said for said in records.notes) or not note
    assert np.allclose(records.read("train", np.arange(40), ("x",))["x"], expected)
    assert sounds(records).fitted["rate"] == (8000 if "sample_rate" in arrays else 16000)


def test_to_a_table_numbers_are_numbers_whatever_their_dtype(tmp_path):
    records = saved(tmp_path, "table", x=WAVE[:, :12], z=X[:40, :, :, 0], y=np.arange(40) % 3)
    assert table(records, target="y").spec.inputs.shape == (12 + 48,)


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (lambda file: np.save(file.with_suffix(".npy"), X), "holds one array without a name.*numpy.savez"),
        (lambda file: np.savez(file, x=np.array([WAVE[0], WAVE[1][:7]], object)), "holds Python objects"),
        (lambda file: np.savez(file, x=X, y=Y[:-1]), r"arrays have \{'x': 60, 'y': 59\} rows"),
        (lambda file: np.savez(file, x=X[:0], y=Y[:0]), "holds no rows"),
        (lambda file: np.savez(file, n=np.array(3)), "holds no arrays with rows"),
        (lambda file: file.write_bytes(b"PK no zip"), "cannot be read"),
    ],
)
def test_files_without_columns_are_refused_in_one_line(tmp_path, save, said):
    save(tmp_path / "a.npz")
    (file,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match=said) as error:
        find(str(file), kind="image")
    assert "\n" not in str(error.value)


def test_svhn_is_read_from_its_own_file(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "train_32x32.mat", {"X": X.transpose(1, 2, 3, 0), "y": Y[:, None] + 1})
    dataset = images(find(str(tmp_path / "train_32x32.mat"), kind="image"))
    assert dataset.spec.names == ("1", "2", "3", "4", "5")
    assert dataset.spec.inputs.shape == (8, 6, 3)


def test_tensors_of_tfds_are_what_the_same_arrays_of_a_file_are(tmp_path):
    install()
    import tensorflow_datasets as api

    f = api.features
    features = {
        "x": f.Tensor(shape=(8, 6, 3), dtype=np.uint8),
        "gray": f.Tensor(shape=(8, 6), dtype=np.uint8),
        "film": f.Tensor(shape=(5, 8, 6, 3), dtype=np.uint8),
        "wave": f.Tensor(shape=(400,), dtype=np.int16),
        "y": f.ClassLabel(num_classes=2),
    }
    rows = [{"x": X[i], "gray": X[i, ..., 0], "film": FILM[i], "wave": WAVE[i], "y": i % 2} for i in range(40)]
    folder = prepare(tmp_path, "tensors", features, {"train": rows})
    records = tfds(str(folder))
    assert {name: (field.kind, field.shape) for name, field in records.fields.items() if name != "y"} == {
        "x": ("image", (8, 6, 3)),
        "gray": ("image", (8, 6, 1)),
        "film": ("video", (5, 8, 6, 3)),
        "wave": ("audio", (400,)),
    }
    read = records.read("train", np.array([7]), ("x", "gray", "film", "wave"))
    assert np.array_equal(read["x"][0], X[7])
    assert np.array_equal(read["gray"][0], X[7, ..., :1])
    assert np.array_equal(read["film"][0], FILM[7])
    assert np.array_equal(read["wave"][0], WAVE[7])
    assert images(records, inputs="x").spec.inputs.shape == (8, 6, 3)
    assert videos(records).spec.inputs.shape == (5, 8, 6, 3)
    assert sounds(records).spec.inputs.shape == (400,)
    assert table(tfds(str(folder), page="table"), inputs=("wave",), target="y").spec.inputs.shape == (400,)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_pictures_in_memory_are_a_dataset(layout):
    import fdl.data

    x = X if layout == "NHWC" else X.transpose(0, 3, 1, 2)
    dataset = fdl.data.images(x, np.array(list("abcde"))[Y], size=4)
    assert dataset.spec.inputs.shape == (4, 4, 3)
    assert dataset.spec.names == tuple("abcde")
    assert dataset.contents() != fdl.data.images(x[::-1], Y).contents()
    same = fdl.data.images(x, Y)
    split = np.concatenate([same.load(split).resident().arrays[0] for split in same.spec.sizes])
    assert sorted(split.sum((1, 2, 3)).tolist()) == sorted(X.sum((1, 2, 3)).tolist())
    for pictures, labels, said in (
        (X, None, "need their labels"),
        ([X[0], X[1, 1:]], [0, 1], "images have several shapes"),
        (X, Y[1:], r"arrays have .* rows"),
    ):
        with pytest.raises(ValueError, match=said):
            fdl.data.images(pictures, labels)
