import chex
import jax
import numpy as np
import pytest

from fdl.data import affairs, cancer, diabetes, digits, digits_apart, wine
from fdl.data.datasets.adding import adding
from fdl.data.datasets.pasted_digits import pasted_digits
from fdl.data.datasets.pydoc import pydoc
from fdl.data.datasets.synthetic import synthetic, synthetic_tokens

SETS = {
    "digits": digits,
    "cancer": cancer,
    "wine": wine,
    "diabetes": diabetes,
    "pasted_digits": lambda: pasted_digits(sizes={"train": 9, "validation": 3, "test": 4}),
    "pydoc": lambda: pydoc(32),
    "synthetic": lambda: synthetic((4, 4, 3), classes=3, size=40),
    "synthetic_features": lambda: synthetic((5,), classes=None, size=40),
    "synthetic_tokens": lambda: synthetic_tokens(8, vocabulary=11, size=40),
}


@pytest.mark.parametrize("name", SETS)
def test_the_spec_tells_the_truth(name):
    dataset = SETS[name]()
    for split, size in dataset.spec.sizes.items():
        source = dataset.load(split)
        assert len(source) == size
        batch = source.fetch(np.arange(2) % size)
        if dataset.transform is not None:
            batch = jax.jit(dataset.transform)(batch)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), batch)
        assert shapes == jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), dataset.shapes(2))
        if dataset.spec.classes:
            assert 0 <= np.min(batch.targets) <= np.max(batch.targets) < dataset.spec.classes


@pytest.mark.parametrize("name", SETS)
def test_making_it_again_gives_the_same(name):
    for split in ("train", "test"):
        index = np.arange(3)
        a, b = SETS[name]().load(split).fetch(index), SETS[name]().load(split).fetch(index)
        chex.assert_trees_all_equal(a, b)


@pytest.mark.parametrize("make", [cancer, wine, diabetes])
def test_features_are_standardised_by_the_training_split(make):
    features = make().load("train").arrays[0]
    assert np.allclose(features.mean(0), 0, atol=1e-5)
    assert np.allclose(features.std(0), 1, atol=1e-5)
    assert not np.allclose(make().load("test").arrays[0].mean(0), 0, atol=1e-5)


def test_diabetes_targets_keep_their_unit():
    assert diabetes().load("train").arrays[1].max() > 300


@pytest.mark.parametrize(("name", "make"), [("digits", digits), ("breast_cancer", cancer), ("wine", wine)])
def test_the_files_hold_what_the_public_loader_gives(name, make):
    datasets = pytest.importorskip("sklearn.datasets")
    _, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    ours = np.concatenate([make().load(split).arrays[1] for split in ("train", "validation", "test")])
    assert np.array_equal(np.bincount(ours), np.bincount(labels))


def test_held_out_topics_are_not_trained_on():
    train, test = (pydoc(32).load(split).arrays.tobytes() for split in ("train", "test"))
    assert test[1000:1200] not in train


def test_unknown_splits_are_named():
    with pytest.raises(ValueError, match="train, validation, test"):
        digits().load("dev")


def test_steps_show_every_example():
    dataset = digits()
    assert dataset.steps(2, 100) * 100 >= 2 * dataset.spec.sizes["train"]
    assert (dataset.steps(2, 100) - 1) * 100 < 2 * dataset.spec.sizes["train"]


def test_digits_apart_meet_their_last_classes_in_the_test_alone():
    dataset = digits_apart()
    targets = {split: dataset.load(split).fetch(np.arange(size)).targets for split, size in dataset.spec.sizes.items()}
    assert {split: len(dataset.load(split)) for split in targets} == dataset.spec.sizes
    assert set(targets["train"]["label"]) == set(targets["validation"]["label"]) == set(range(7))
    assert set(targets["test"]["label"]) == {7, 8, 9}
    assert all(np.array_equal(found["row"], np.arange(len(found["row"]))) for found in targets.values())


def test_affairs_are_the_survey_with_both_answers():
    pytest.importorskip("statsmodels")
    dataset = affairs()
    assert {split: len(dataset.load(split)) for split in dataset.spec.sizes} == dataset.spec.sizes
    features, labels = dataset.load("test").arrays
    assert features.shape == (637, 8)
    assert np.mean(labels) == pytest.approx(2053 / 6366, abs=0.002)


def test_the_answer_of_adding_is_the_sum_of_the_marked_numbers():
    inputs, targets = adding(9).load("test").arrays
    np.testing.assert_array_equal(inputs[..., 1].sum(1), 2)
    np.testing.assert_array_equal(inputs[:, :4, 1].sum(1), 1)
    np.testing.assert_allclose((inputs[..., 0] * inputs[..., 1]).sum(1), targets, rtol=1e-6)
    assert np.sqrt(np.mean((targets - 1) ** 2)) == pytest.approx(0.408, abs=0.02)


def test_boxes_hold_the_ink_of_the_digits_and_patches_lie_apart():
    canvases, targets = pasted_digits(sizes={"train": 60, "validation": 3, "test": 4}).load("train").arrays
    for canvas, boxes in zip(canvases[..., 0] > 64, targets["box"], strict=True):
        inside, count = np.zeros(canvas.shape, int), 0
        for left, top, right, bottom in (48 * boxes).round().astype(int):
            inside[top:bottom, left:right] += 1
            count += right > left
            assert right == left or canvas[top:bottom, [left, right - 1]].any(0).all()
        assert not canvas[inside == 0].any()
        assert inside.max() == 1
        assert 1 <= count <= 4
