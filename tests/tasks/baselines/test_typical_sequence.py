import numpy as np

from fdl.core.types import Batch
from fdl.tasks import seq2seq
from fdl.tasks.baselines import typical_sequence

STOP = 3


def batch(targets):
    table = np.zeros((len(targets), 8), np.int64)
    for row, symbols in zip(table, targets, strict=True):
        row[: len(symbols) + 1] = [*symbols, STOP]
    return Batch(np.zeros(len(targets)), table, (table != 0).astype(np.float32))


def test_the_sequence_in_the_middle_is_written_for_every_source():
    middle = [5, 6, 7, 8]
    others = [[*middle[:place], 9 + i, *middle[place + 1 :]] for i in range(5) for place in range(4)]
    baseline = typical_sequence(STOP)
    fitted = baseline.fit(batch([*others, *others, [4], [4]]), seq2seq(), 20)
    assert baseline.chance
    assert fitted.measure(batch([middle, [5, 6, 7], [9, 9, 9, 9, 9]])) == {
        "sequence_accuracy": 1 / 3,
        "error_rate": (0 + 1 + 5) / 12,
    }
