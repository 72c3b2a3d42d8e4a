"""Symbols are aligned, and write what they most often wrote between the same neighbours."""

import itertools

import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.tasks import seq2seq
from fdl.tasks.baselines import symbol_by_symbol
from fdl.tasks.baselines.symbol_by_symbol import align, learn, write

STOP = 3
WRITES = {4: [14], 5: [15, 16], 6: [], 7: [14, 17]}  # what each symbol writes, whatever its neighbours


def padded(rows, width):
    table = np.zeros((len(rows), width), np.int64)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


def written_by(sources):
    return [[each for symbol in row for each in WRITES[symbol]] for row in sources]


def batch(sources, width=10):
    targets = padded([[*row, STOP] for row in written_by(sources)], width)
    inputs = {"sources": padded(sources, 5), "source_lengths": np.array([len(row) for row in sources])}
    return Batch(inputs, targets, (targets != 0).astype(np.float32))


def test_what_symbols_write_is_found_from_whole_sequences():
    some = [list(row) for size in (1, 2, 3) for row in itertools.product(WRITES, repeat=size)]
    bounds, possible = align(padded(some, 5), padded(written_by(some), 10))
    assert possible.sum() == len(some)
    for row, ends in zip(some, bounds, strict=True):
        assert np.diff(ends)[: len(row)].tolist() == [len(WRITES[symbol]) for symbol in row]
        assert not np.diff(ends)[len(row) :].any()
    unseen = [[7, 5, 4, 6, 5], [5, 5, 7, 7, 4]]
    measured = symbol_by_symbol(STOP).fit(batch(some), seq2seq(), 18).measure(batch(unseen))
    assert measured == {"sequence_accuracy": 1.0, "error_rate": 0.0}


def test_the_widest_neighbourhood_that_is_known_counts():
    # The symbol 4 writes 14, but 15 behind a 5.
    sources = [[4], [4, 4], [6, 4], [5, 4], [6, 5, 4]]
    targets = [[14], [14, 14], [16, 14], [17, 15], [16, 17, 15]]
    writes = learn(padded(sources, 5), padded(targets, 5))
    assert write(writes, np.array([4, 6, 4, 0, 0])) == [14, 16, 14]
    assert write(writes, np.array([4, 5, 4, 0, 0])) == [14, 17, 15]
    assert write(writes, np.array([9, 4, 0, 0, 0])) == [14]  # 9 is unknown and writes nothing


def test_edits_and_sequences_are_counted_by_hand():
    # Each symbol writes one more than ten of itself; of the test, one symbol of five is wrong and one is missing.
    train = Batch(
        {"sources": np.array([[4, 5], [5, 4]]), "source_lengths": np.array([2, 2])},
        np.array([[14, 15, STOP, 0], [15, 14, STOP, 0]]),
        np.ones((2, 4)),
    )
    test = train._replace(
        inputs={"sources": np.array([[4, 5], [5, 0]]), "source_lengths": np.array([2, 1])},
        targets=np.array([[14, 16, STOP, 0], [15, 14, 14, STOP]]),
    )
    measured = symbol_by_symbol(STOP).fit(train, seq2seq(), 18).measure(test)
    assert measured["error_rate"] == pytest.approx((1 + 2) / 5)
    assert measured["sequence_accuracy"] == 0.0


def test_what_no_symbol_can_write_so_much_of_is_left_out():
    sources, targets = [[4, 5], [5, 4], [4]], [[14, 15], [15, 14], [14] * 9]
    _, possible = align(padded(sources, 2), padded(targets, 9))
    assert possible.tolist() == [True, True, False]
    assert write(learn(padded(sources, 2), padded(targets, 9)), np.array([4, 5])) == [14, 15]
