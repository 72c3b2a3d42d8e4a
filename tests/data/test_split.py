import numpy as np
import pytest

from fdl.data.split import split_rows, split_sizes


def test_splits_are_disjoint_and_whole():
    rows = split_rows(101, seed=3)
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(101))
    assert {name: len(r) for name, r in rows.items()} == split_sizes(101)


def test_splits_depend_on_the_seed_alone():
    assert np.array_equal(split_rows(50, seed=1)["test"], split_rows(50, seed=1)["test"])
    assert not np.array_equal(split_rows(50, seed=1)["test"], split_rows(50, seed=2)["test"])


def test_every_class_is_spread_evenly():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    rows = split_rows(100, labels=labels)
    for name in ("validation", "test"):
        counts = np.bincount(labels[rows[name]], minlength=3)
        assert np.all(np.abs(counts - [6, 3, 1]) <= 1)


def test_too_few_rows_to_train_are_refused():
    with pytest.raises(ValueError, match="hold out less"):
        split_rows(1, held_out={"test": 0.9})
