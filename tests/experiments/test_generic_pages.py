"""Every page of a kind of data fits a set that the code has never seen, with the columns named by flags alone."""

import numpy as np
import pytest

import fdl
from fdl.data.readers.tensorflow_stub import install
from fdl.engine.baselines import measure_baselines
from fdl.engine.checks import check
from fdl.experiment import load
from tests.data.prepared import prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    install()
    import tensorflow_datasets as api

    f, rng = api.features, np.random.default_rng(0)
    features = {
        "picture": f.Image(shape=(9, 7, 1)),
        "noise": f.Audio(shape=(None,), dtype=np.int16, sample_rate=8000),
        "film": f.Video(shape=(None, 8, 8, 1)),
        "said": f.Text(),
        "answer": f.Text(),
        "town": f.Text(),
        "age": np.float32,
        "code": np.int64,
        "kind": f.ClassLabel(names=["a", "b", "c"]),
        "tokens": f.Sequence(f.Text()),
        "tags": f.Sequence(f.ClassLabel(names=["O", "B-X", "I-X"])),
    }
    rows = [
        {
            "picture": rng.integers(0, 255, (9, 7, 1), np.uint8),
            "noise": rng.integers(-999, 999, 900 + i).astype(np.int16),
            "film": rng.integers(0, 255, (3 + i % 2, 8, 8, 1), np.uint8),
            "said": "yes no maybe"[: 4 + i % 8],
            "answer": f"{i % 7} times",
            "town": ["", "ulm", "bonn"][i % 3],
            "age": np.nan if i % 5 == 0 else float(i),
            "code": 10**9 + i % 4,
            "tokens": [f"word{j}" for j in range(i % 3 + 1)],
            "tags": list(range(i % 3 + 1)),
            "kind": i % 3,
        }
        for i in range(60)
    ]
    return prepare(tmp_path_factory.mktemp("sets"), "unseen", features, {"train": rows})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


PAGES = [
    ("image", {"target": "kind"}, 3),
    ("image", {"target": "code", "model": "mlp", "augment": "shift_flip", "size": 8}, 4),
    ("image", {"target": "age", "model": "transformer", "inputs": "picture", "goal": "regress"}, None),
    ("table", {"target": "kind", "inputs": ("age", "town", "code")}, 3),
    ("table", {"target": "code", "goal": "regress", "model": "linear"}, None),
    ("text", {"inputs": "said", "target": "kind"}, 3),
    ("text", {"inputs": "answer", "target": "kind", "model": "gru", "tokens": "bytes"}, 3),
    ("text", {"inputs": "said", "goal": "next_token", "length": 8, "tokens": "chars"}, None),
    ("audio", {"target": "kind"}, 3),
    ("audio", {"target": "kind", "model": "transformer", "masks": True}, 3),
    ("video", {"target": "kind"}, 3),
    ("video", {"target": "kind", "model": "gru", "frames": 2}, 3),
    ("series", {"target": "code", "length": 4, "horizon": 2, "season": 3}, None),
    ("pairs", {"inputs": "said", "target": "answer"}, None),
    ("pairs", {"inputs": "said", "target": "answer", "model": "gru", "tokens": "words"}, None),
    ("tagging", {}, 3),
]


@pytest.mark.parametrize(("page", "knobs", "classes"), PAGES, ids=[f"{page}-{i}" for i, (page, *_) in enumerate(PAGES)])
def test_every_kind_fits_a_set_never_seen(folder, page, knobs, classes):
    made = load(page, dataset=str(folder), batch_size=4, **knobs)
    check(made, 1)
    assert made.dataset.spec.classes == classes or page in ("pairs", "text")
    for split, size in made.dataset.spec.sizes.items():
        assert len(made.dataset.load(split)) == size


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("fashion_mnist_cnn", "fashion_mnist"),
        ("cifar10_resnet", "cifar10"),
        ("cifar10_alexnet", "cifar10"),
        ("cifar10_vgg", "cifar10"),
        ("imdb_transformer", "imdb_reviews"),
        ("shakespeare", "tiny_shakespeare"),
        ("wmt_transformer", "wmt14_translate/de-en"),
    ],
)
def test_pages_of_known_sets_fit_the_features_that_tfds_declares(page, name, tmp_path):
    install()
    import tensorflow_datasets as api
    import tensorflow_datasets.translate.wmt14

    features, rng = dict(api.builder(name, data_dir=tmp_path).info.features), np.random.default_rng(0)
    made_up = {
        "image": lambda i: rng.integers(0, 255, features["image"].shape, np.uint8),
        "label": lambda i: i % features["label"].num_classes,
        "text": lambda i: f"a film of {i} words",
        "id": lambda i: f"{i}",
        "de": lambda i: f"{i} und {i}",
        "en": lambda i: f"{i} and {i}",
    }
    rows = [{column: made_up[column](i) for column in features} for i in range(60)]
    splits = ("train", "test", "validation") if "de" in features else ("train", "test")
    folder = prepare(tmp_path, f"{name.partition('/')[0]}_made_up", features, dict.fromkeys(splits, rows))
    made = load(page, dataset=str(folder), batch_size=4)
    check(made, 1)
    targets = made.dataset.load("test").fetch(np.arange(3)).targets
    assert targets.tolist() == [0, 1, 0] or made.dataset.spec.classes >= 10


@pytest.mark.parametrize("page", ["tones_cnn", "moving_digits_cnn", "co2_mlp"])
def test_pages_of_made_sets_fit(page):
    if page == "co2_mlp":
        pytest.importorskip("statsmodels")
    made = load(page)
    check(made, 1)
    source = made.dataset.load("test")
    assert np.isfinite(np.asarray(source.fetch(np.arange(3)).inputs, np.float32)).all()


@pytest.mark.parametrize(
    ("page", "method"),
    [("image", "pixels"), ("audio", "mean spectrum"), ("video", "mean frame")],
)
def test_what_is_seen_or_heard_has_a_linear_baseline_and_one_of_guessing(folder, page, method):
    said: list[str] = []
    for goal, target, fitted in (("classify", "kind", "logistic"), ("regress", "age", "ridge")):
        made = load(page, dataset=str(folder), target=target, goal=goal, missing="drop", batch_size=4)
        guess, linear = measure_baselines(made, 60.0, said.append)
        assert guess["chance"]
        assert linear["name"] == f"{method} and {fitted} regression"
        assert linear["rows"] == linear["of"] == made.dataset.spec.sizes["train"]
        assert np.isfinite(linear["metrics"]["loss"])
    assert said == []


def test_a_video_page_at_chance_says_so_in_its_last_lines_and_its_report(folder, tmp_path):
    made = load("video", dataset=str(folder), target="kind", batch_size=8, epochs=0.1)
    said: list[str] = []
    report = fdl.train(made, tmp_path, log=said.append)
    assert report["verdict"].startswith("no better than guessing: test accuracy")
    assert report["verdict"] in said[-1].splitlines()
    assert report["verdict"] in (tmp_path / "report.html").read_text()


def test_sounds_are_heard_as_they_are_and_less_what_lasts(folder):
    made = load("audio", dataset=str(folder), target="kind")
    assert made.dataset.shapes(1).inputs.shape[-1] == 2
    assert made.steps == 300


def test_the_recipe_of_pictures_hangs_on_how_many_there_are(tmp_path):
    made = {}
    for size in (2_000, 26_000):
        np.savez(tmp_path / f"{size}.npz", image=np.zeros((size, 4, 4, 1), np.uint8), label=np.arange(size) % 2)
        made[size] = load("image", dataset=str(tmp_path / f"{size}.npz"))
    few, many = made.values()
    assert (few.model.dropout, few.batch_size, few.steps) == (0.5, 32, 600)
    assert few.dataset.augment is not None
    assert (many.model.dropout, many.batch_size, many.dataset.augment) == (0.0, 64, None)
    assert many.steps == many.dataset.steps(10, 64) > 600
    two = load("image", dataset=str(tmp_path / "2000.npz"), epochs=2, augment="none", dropout=0.1)
    assert (two.steps, two.dataset.augment, two.model.dropout) == (two.dataset.steps(2, 32), None, 0.1)


def test_few_videos_are_taken_in_small_batches_for_600_steps(folder):
    made = load("video", dataset=str(folder), target="kind")
    assert (made.batch_size, made.steps) == (8, 600)
