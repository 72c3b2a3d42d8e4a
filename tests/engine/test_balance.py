from dataclasses import replace

import jax
import numpy as np
import pytest

import fdl
import tiny
from fdl.core import steps
from fdl.core.types import Batch
from fdl.data.dataset import columns
from fdl.engine.balance import balanced, class_weights
from fdl.engine.options import apply_options
from fdl.tasks import regress

LABELS = np.array([0] * 30 + [1] * 6 + [2] * 4, np.int32)


def rare():
    dataset = tiny.dataset()
    rows = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    load = lambda split: columns(rows, LABELS) if split == "train" else dataset.load(split)  # noqa: E731
    return tiny.experiment(dataset=replace(dataset, load=load))


def test_each_class_has_the_same_weight_in_all_and_examples_have_1_on_average():
    made = balanced(rare())
    np.testing.assert_allclose(class_weights(made.dataset) * [30, 6, 4], 40 / 3, rtol=1e-6)
    batch = made.dataset.augment(jax.random.key(0), made.dataset.load("train").fetch(np.arange(40)))
    np.testing.assert_allclose(np.bincount(LABELS, batch.weights), 40 / 3, rtol=1e-6)
    assert float(batch.weights.mean()) == pytest.approx(1)


def test_weights_of_0_stay_and_mixed_and_several_targets_are_weighed():
    augment = balanced(rare()).dataset.augment
    weights = np.array([1, 0], np.float32)
    mixed = augment(None, Batch(None, np.array([[0.5, 0.5, 0], [0, 0, 1]], np.float32), weights))
    np.testing.assert_allclose(mixed.weights, [(40 / 90 + 40 / 18) / 2, 0], rtol=1e-6)
    tags = augment(None, Batch(None, np.array([[0, 2], [1, 1]]), weights))
    np.testing.assert_allclose(tags.weights, [[40 / 90, 40 / 12], [0, 0]], rtol=1e-6)


def test_it_is_an_option_of_training_alone_and_part_of_the_identity(tmp_path):
    plain, made = rare(), apply_options(rare(), balance=True)
    assert made.knobs["balance"] is True
    assert apply_options(rare(), balance=False).knobs == plain.knobs
    report = fdl.train(made, tmp_path, log=None)
    assert report["metrics"]["test"]["n"] == 11
    step = steps.prepare(steps.eval_step(made.model, made.task), made.dataset.transform)
    _, sums = step(made.init(), made.dataset.load("test").fetch(np.arange(11)))
    assert float(sums["correct"].weight) == 11


def test_numbers_have_no_classes_to_balance():
    with pytest.raises(ValueError, match="--balance weighs classes, and tiny predicts none"):
        balanced(tiny.experiment(task=regress()))
