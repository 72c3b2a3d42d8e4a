import numpy as np
import pytest

from fdl.data.records import Field, Records, complete
from fdl.data.split import by_place, split_rows, split_sizes


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


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_is_never_held_out_wholly(seed):
    labels = np.concatenate([np.repeat(np.arange(30), 2), np.full(40, 30), [31]])
    rows = split_rows(len(labels), seed=seed, labels=labels)
    assert set(labels[rows["train"]]) == set(range(32))
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(len(labels)))
    assert {name: len(r) for name, r in rows.items()} == split_sizes(len(labels))


def test_classes_too_rare_for_each_split_are_said():
    labels = ["common"] * 95 + ["b", "b", "a", "c", "d"]
    read = lambda split, indices, names: {"y": [labels[i] for i in indices]}  # noqa: E731
    records = Records(name="r", fields={"y": Field(kind="label")}, sizes={"train": 100}, read=read)
    made = complete(records, labels=labels)
    assert made.notes == ("4 of 5 classes are too rare for each split (a, b, c, …): train has them all",)
    assert set(made.column("train", "y")) == set(labels)
    assert complete(records, labels=["x", "y"] * 50).notes == ()


def test_too_few_rows_to_train_are_refused():
    with pytest.raises(ValueError, match="hold out less"):
        split_rows(1, held_out={"test": 0.9})


@pytest.mark.parametrize("held_out", [{"test": 0.1}, {"validation": 0.3, "test": 0.6}])
def test_rows_by_place_are_the_rows_and_take_memory_for_what_is_held_out_alone(held_out):
    rows = split_rows(1000, seed=3, held_out=held_out)
    compact = by_place(rows)
    for split, index in rows.items():
        assert np.array_equal(compact[split][np.arange(len(index))], index)
        assert [compact[split][place] for place in (0, len(index) - 1)] == [index[0], index[-1]]
    assert len(compact["train"].before) == 1000 - len(rows["train"])
