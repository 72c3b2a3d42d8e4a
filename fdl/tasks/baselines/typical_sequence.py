"""What guessing reaches where sequences are written: the same one for every source.

Shape legend: n examples, T target symbols.
"""

from typing import Any

import numpy as np

from fdl.core.types import Batch, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted
from fdl.tasks.baselines.features import nothing
from fdl.tasks.baselines.symbol_by_symbol import before_stop, edits

_TRIED, _COMPARED = 32, 256  # targets that are tried, and those that they are compared with


def typical_sequence(stop: int) -> Baseline:
    """Make the baseline that always writes the sequence of train with the fewest edits to the others.

    targets: i[n, T], 0 is padding and `stop` ends them. It is chosen among the most frequent target, the most frequent
    symbol of each place, and some at random; measured are `error_rate` and `sequence_accuracy`.
    """

    def fit(train: Batch, task: Task, outputs: int) -> Fitted:
        targets = before_stop(train, stop)
        some = np.random.default_rng(0).permutation(len(targets))
        others = targets[some[:_COMPARED]]
        known, counts = np.unique(targets, axis=0, return_counts=True)
        tried = [known[counts.argmax()], _by_place(targets), *targets[some[-_TRIED:]]]
        best = min(map(_symbols, tried), key=lambda each: edits([each] * len(others), others)["error_rate"])

        def measure(test: Batch) -> dict[str, float]:
            truth = before_stop(test, stop)
            return edits([best] * len(truth), truth)

        return Fitted("the most typical sequence", measure)

    return Baseline(fit=fit, features=nothing, chance=True)


def _by_place(targets: np.ndarray) -> np.ndarray:
    """Return i64[T], the most frequent symbol of each place up to the median length."""
    symbols = [np.bincount(column[column > 0], minlength=1).argmax() for column in targets.T]
    return np.where(np.arange(len(symbols)) < np.median((targets != 0).sum(1)), symbols, 0)


def _symbols(target: np.ndarray) -> list[Any]:
    return [symbol for symbol in target.tolist() if symbol]
