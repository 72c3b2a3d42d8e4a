import io
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from fdl.data.modalities.images import images
from fdl.data.pixels import decode_image
from fdl.data.readers.find import find
from fdl.data.readers.tfds import tfds
from fdl.data.records import complete
from tests.data.prepared import prepare

BLOCKED = """
import sys
from importlib.machinery import PathFinder
class WithoutTensorFlow(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "tensorflow" else super().find_spec(name, path, target)
sys.meta_path = [WithoutTensorFlow if finder is PathFinder else finder for finder in sys.meta_path]
import numpy as np
from pathlib import Path
from tests.data.prepared import prepare
from fdl.data.pixels import decode_image
from fdl.data.readers.tfds import tfds
from fdl.data.readers.tensorflow_stub import install
install()
import tensorflow_datasets.public_api as api
f = api.features
image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
sound = np.arange(-50, 50, dtype=np.int16)
film = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
where = prepare(Path(sys.argv[1]), "all", {
    "image": f.Image(shape=(4, 4, 3)), "photo": f.Image(shape=(4, 4, 3), encoding_format="jpeg"),
    "sound": f.Audio(shape=(None,), dtype=np.int16, sample_rate=8000), "film": f.Video(shape=(None, 4, 4, 3)),
    "depth": f.Image(shape=(4, 4, 1), dtype=np.float32),
}, {"train": [{"image": image, "photo": image, "sound": sound, "film": film,
               "depth": image[..., :1].astype(np.float32) / 7}] * 3})
row = {k: v[0] for k, v in tfds(str(where)).read("train", np.array([2]), ("image", "sound", "film", "depth")).items()}
assert np.array_equal(row["image"], image) and np.array_equal(row["sound"], sound) and np.array_equal(row["film"], film)
assert np.array_equal(row["depth"], image[..., :1].astype(np.float32) / 7)
assert "tensorflow" not in sys.modules
"""


def test_images_sounds_and_videos_are_prepared_and_read_where_tensorflow_cannot_be_imported(tmp_path):
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", BLOCKED, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import tensorflow_datasets as api

    rng = np.random.default_rng(0)
    rows = [
        {
            "image": rng.integers(0, 255, (6, 5, 1), np.uint8),
            "label": i % 3,
            "far": 10**9 * (i % 2),
            "word": "ab"[i % 2],
            "deep": {"x": i},
        }
        for i in range(40)
    ]
    f = api.features
    features = {
        "image": f.Image(shape=(6, 5, 1)),
        "label": f.ClassLabel(names=["p", "q", "r"]),
        "far": np.int64,
        "word": f.Text(),
        "deep": {"x": np.int32},
    }
    base = tmp_path_factory.mktemp("tfds")
    return prepare(base, "little", features, {"train": rows, "test": rows[:10]}, supervised_keys=("image", "label"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def test_any_prepared_folder_is_a_dataset(folder):
    dataset = images(find(str(folder)))
    assert dataset.spec.classes == 3
    assert dataset.spec.names == ("p", "q", "r")
    assert dataset.spec.sizes == {"train": 36, "test": 10, "validation": 4}
    batch = jax.jit(dataset.transform)(dataset.load("train").fetch(np.arange(4)))
    shapes = jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), batch)
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), dataset.shapes(4))
    assert float(abs(batch.inputs).max()) <= 1


def test_resident_equals_decoded_row_by_row(folder):
    source = images(tfds(str(folder))).load("train")
    rows = np.array([5, 0, 30])
    for resident in (source.resident(), source.resident()):  # decoded, then mapped from the cache
        chex.assert_trees_all_equal(resident.fetch(rows), source.fetch(rows))
    assert source.nbytes == source.resident().nbytes
    np.testing.assert_equal(source.in_subprocess()(rows), source.fetch(rows))


@pytest.mark.parametrize(("target", "classes"), [("label", 3), ("far", 2), ("word", 2)])
def test_targets_may_be_labels_big_numbers_or_words(folder, target, classes):
    dataset = images(tfds(str(folder)), target=target)
    assert dataset.spec.classes == classes
    assert set(dataset.load("train").fetch(np.arange(36)).targets) == set(range(classes))


def test_columns_have_one_order_in_every_process(folder):
    names = "import sys; from fdl.data.readers.tfds import tfds; print(*tfds(sys.argv[1]).fields)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", names, str(folder)], cwd=root, capture_output=True, text=True)
    here = list(tfds(str(folder)).fields)
    assert done.stdout.split() == here == sorted(here)
    assert len(here) > 4


def test_slices_and_sums_of_splits(folder):
    records = complete(tfds(str(folder), splits={"train": "train[:50%]+test", "test": "train[90%:]"}))
    assert records.sizes["train"] + records.sizes["validation"] == 30
    assert records.sizes["test"] == 4


def test_carved_splits_share_no_row(folder):
    records = complete(tfds(str(folder), splits={"train": "train"}))
    rows = [records.column(split, "deep/x") for split in ("train", "validation", "test")]
    assert sorted(itertools.chain(*rows)) == list(range(40))


def test_pictures_are_held_out_evenly_over_their_classes(tmp_path):
    import tensorflow_datasets.public_api as api

    features = {"image": api.features.Image(shape=(2, 2, 3)), "label": api.features.ClassLabel(num_classes=4)}
    picture, labels = np.zeros((2, 2, 3), np.uint8), np.repeat([0, 1, 2], [180, 18, 2])
    rows = [{"image": picture, "label": label} for label in np.random.default_rng(0).permutation(labels)]
    data = images(tfds(str(prepare(tmp_path, "uneven", features, {"train": rows}))))
    counts = {
        split: np.bincount(data.load(split).fetch(np.arange(size)).targets, minlength=3).tolist()
        for split, size in data.spec.sizes.items()
    }
    assert counts["validation"][:2] == [18, 2]
    assert [abs(count - share) <= 1 for count, share in zip(counts["test"], (18, 2, 0), strict=True)] == [True] * 3
    assert counts["train"][2] >= 1
    assert any("1 of 3 classes are too rare for each split (2): train has them all" in note for note in data.notes)
    assert any("train has no row of 1 (3), which cannot be learned" in note for note in data.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "nope"}, "no column 'nope'"),
        ({"inputs": "label"}, "is not image"),
        ({"target": "image"}, "is already taken"),
    ],
)
def test_wrong_columns_are_said_in_one_line(folder, options, said):
    with pytest.raises(ValueError, match=said) as error:
        images(tfds(str(folder)), **options)
    assert "\n" not in str(error.value)


def test_unknown_splits_are_said_in_one_line(folder):
    with pytest.raises(ValueError, match="has no split 'dev'; it has") as error:
        tfds(str(folder), splits={"train": "dev"})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("harm", ["truncated", "flipped"])
def test_a_damaged_file_is_named(folder, tmp_path, harm):
    copy = tmp_path / "little" / "1.0.0"
    shutil.copytree(folder, copy)
    file = next(copy.glob("*train.array_record*"))
    data = bytearray(file.read_bytes())
    if harm == "truncated":
        data = data[: len(data) // 2]
    else:
        data[200:220] = bytes(255 - byte for byte in data[200:220])
    file.write_bytes(data)
    records = tfds(str(copy))
    with pytest.raises(ValueError, match=file.name) as error:
        records.column("train", "label")
    assert "\n" not in str(error.value)


def test_png_is_the_same_by_either_decoder_and_its_damage_is_seen(monkeypatch):
    pytest.importorskip("pyspng")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 3, (5, 4, *rest), np.uint8)) for rest in ((), (3,), (4,))]
    kinds = [*pictures, pictures[1].convert("P"), pictures[0].convert("1"), pictures[0].convert("LA")]
    files = [png(picture) for picture in kinds] + [png(pictures[1], transparency=(1, 1, 1))]
    by_either = [[decode_image(file, channels) for file in files for channels in (1, 3, 4, None)]]
    flipped = bytearray(files[1])
    flipped[60] ^= 4
    for damaged in (bytes(flipped), files[1][:60]):
        with pytest.raises(OSError, match=r"broken|truncated"):
            decode_image(damaged, 3)
    monkeypatch.setattr("fdl.data.pixels._spng", lambda: None)
    by_either.append([decode_image(file, channels) for file in files for channels in (1, 3, 4, None)])
    np.testing.assert_equal(*by_either)


def png(picture, **more):
    file = io.BytesIO()
    picture.save(file, "PNG", **more)
    return file.getvalue()
