import itertools

import numpy as np
import pytest

from fdl.engine.shuffle import order, orders, permutation


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 1000, 4099])
def test_each_epoch_is_a_permutation(size):
    for epoch in range(3):
        assert np.array_equal(np.sort(permutation(3, epoch, size)), np.arange(size))


def test_batches_walk_through_the_epochs():
    size, batch_size = 37, 10
    stream = orders(5, 0, 12, batch_size=batch_size, size=size).reshape(-1)
    for epoch in range(3):
        assert np.array_equal(stream[epoch * size : (epoch + 1) * size], permutation(5, epoch, size))


def test_a_chunk_equals_its_steps():
    chunk = orders(1, 7, 5, batch_size=12, size=31)
    assert np.array_equal(chunk, [order(1, step, batch_size=12, size=31) for step in range(7, 12)])


def test_late_steps_are_as_good_as_early_ones():
    rows = order(0, 10**15, batch_size=64, size=50)
    assert rows.min() >= 0
    assert rows.max() < 50
    assert len(set(rows[:14])) == 14


def test_seeds_and_epochs_differ():
    base = permutation(0, 0, 1000)
    for other in (permutation(1, 0, 1000), permutation(0, 1, 1000), permutation(-1, 0, 1000)):
        assert np.sum(base == other) < 15  # one fixed point is expected, 15 is beyond any luck


@pytest.mark.parametrize("size", [3, 4, 5])
def test_every_order_of_few_rows_is_equally_likely(size):
    runs = 6000
    stream = orders(0, 0, runs, batch_size=size, size=size)
    number = {p: i for i, p in enumerate(itertools.permutations(range(size)))}
    counts = np.bincount([number[tuple(p)] for p in stream.tolist()], minlength=len(number))
    expected = runs / len(number)
    chi2 = np.sum((counts - expected) ** 2 / expected)
    freedom = len(number) - 1
    assert chi2 < freedom + 4 * np.sqrt(2 * freedom)


def test_rows_are_uniform_over_places_and_neighbours_are_independent():
    size, epochs = 50, 4000
    stream = orders(9, 0, epochs, batch_size=size, size=size)
    expected = epochs / size
    for place in (0, 1, 24, 49):
        counts = np.bincount(stream[:, place], minlength=size)
        assert np.sum((counts - expected) ** 2 / expected) < 49 + 4 * np.sqrt(2 * 49)
    step = (stream[:, 1:] - stream[:, :-1]) % size  # never 0, every other difference alike
    counts = np.bincount(step.reshape(-1), minlength=size)
    assert counts[0] == 0
    expected = step.size / (size - 1)
    assert np.sum((counts[1:] - expected) ** 2 / expected) < 48 + 4 * np.sqrt(2 * 48)


def test_an_empty_source_has_no_order():
    with pytest.raises(ValueError, match="at least one row"):
        order(0, 0, batch_size=4, size=0)
