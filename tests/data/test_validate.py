"""Data against its spec and against what the task says its targets may be."""

from dataclasses import replace

import numpy as np
import pytest

import tiny
from fdl.data.dataset import Dataset, Spec, columns, shape_of
from fdl.data.validate import check_source, rule_of
from fdl.tasks import binary

X = np.zeros((4, 2), np.float32)


def dataset(targets: np.ndarray, weights: np.ndarray | None = None, **changes) -> Dataset:
    source = columns(X, targets, weights)
    spec = Spec(inputs=shape_of(X), targets=shape_of(source.arrays[1]), sizes={"train": 4})
    return replace(Dataset(name="d", spec=spec, load=lambda split: source), **changes)


def test_targets_are_held_to_the_rule_of_the_task_with_and_without_classes():
    data = dataset(np.array([0, 1, 2, 1]))
    for spec in (data.spec, replace(data.spec, classes=3)):
        with pytest.raises(ValueError, match=r"^d split 'train' example 2: target 2 is not 0 or 1, as binary\(\)"):
            check_source(data.load("train"), spec, "d", "train", rule_of(binary(), data))


def test_a_transform_that_makes_the_targets_is_not_foreseen():
    halved = dataset(np.array([0, 1, 2, 1]), transform=lambda batch: batch._replace(inputs=batch.inputs / 2))
    lowered = dataset(np.array([1, 2, 2, 1]), transform=lambda batch: batch._replace(targets=batch.targets - 1))
    assert rule_of(binary(), halved) is not None
    assert rule_of(binary(), lowered) is None


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_weight_below_nothing_or_without_end_is_refused(weight):
    data = dataset(np.array([0, 1, 1, 1]), np.float32([1, 0, weight, 1]))
    with pytest.raises(ValueError, match=r"example 2: weight (-1|nan|inf) is not 0 or more"):
        check_source(data.load("train"), data.spec, "d", "train")
    tokens = dataset(np.array([0, 1, 1, 1]), np.ones((4, 3), np.float32))
    check_source(tokens.load("train"), tokens.spec, "d", "train")


def test_right_data_passes():
    data = tiny.dataset()
    for split in data.spec.sizes:
        check_source(data.load(split), data.spec, data.name, split, rule_of(tiny.experiment().task, data))
