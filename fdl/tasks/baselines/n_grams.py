"""Language models that count: interpolated n-grams. Paper: Witten and Bell, 1991.

Shape legend: n windows, T tokens of a window.
"""

from collections.abc import Mapping

import numpy as np

from fdl.core.types import Batch, Sum, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted


def n_grams(longest: int = 5) -> Baseline:
    """Make the baseline of runs of up to `longest` tokens, whose shares are interpolated; 1 is what guessing reaches.

    inputs, targets: i[n, T], the targets one token later; a run does not reach over the start of its window.
    """

    def fit(train: Batch, task: Task, outputs: int) -> Fitted:
        seen = _whole(train)

        def measure(test: Batch) -> Mapping[str, float]:
            chances = witten_bell(seen, _whole(test), longest, outputs)[:, 1:]
            weights = np.asarray(test.weights, np.float64)
            return task.finish({"loss": Sum(-(np.log(chances) * weights).sum(), weights.sum())}, "test")

        return Fitted(f"interpolated {longest}-gram" if longest > 1 else "the most frequent token", measure)

    return Baseline(fit=fit, chance=longest == 1)


def witten_bell(train: np.ndarray, test: np.ndarray, longest: int, vocabulary: int = 256) -> np.ndarray:
    """Return f64[m, T], the chance that runs of up to `longest` tokens give each token of `test: i[m, T]`.

    p(c | h) = (n(hc) + t(h) p(c | h')) / (n(h) + t(h)), where n counts in `train: i[n, T]`, t(h) is how many different
    tokens follow h there, and h' is h without its first token. It has no weights to choose.
    """
    chances = np.full(test.shape, 1 / vocabulary)
    for length in range(1, min(longest, train.shape[1], test.shape[1]) + 1):
        # A run of this length is the number of its first tokens, times the vocabulary, plus its last token.
        heads, asked = _heads(train, test, length - 1, vocabulary)
        runs, times = np.unique(heads * vocabulary + train[:, length - 1 :], return_counts=True)
        known, first, kinds = np.unique(runs // vocabulary, return_index=True, return_counts=True)
        own = _find(runs, times, asked * vocabulary + test[:, length - 1 :])
        whole, different = (_find(known, each, asked) for each in (np.add.reduceat(times, first), kinds))
        shorter = chances[:, length - 1 :]
        there = whole > 0
        shorter[there] = ((own + different * shorter) / np.maximum(whole + different, 1))[there]
    return chances


def _heads(train: np.ndarray, test: np.ndarray, length: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for the `length` tokens before each token that has so many, -1 in test where train lacks them."""
    found, asked = (np.zeros((len(array), array.shape[1] - length), np.int64) for array in (train, test))
    for place in range(length):
        runs = found * vocabulary + train[:, place : place + found.shape[1]]
        keys, inverse = np.unique(runs, return_inverse=True)
        sought = asked * vocabulary + test[:, place : place + asked.shape[1]]
        numbers = _find(keys, np.arange(len(keys)) + 1, sought) - 1
        found, asked = inverse.reshape(runs.shape), np.where(asked < 0, -1, numbers)
    return found, asked


def _find(keys: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the value of each key that is asked for, 0 where it is not among the sorted keys."""
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[places] == asked, values[places], 0)


def _whole(windows: Batch) -> np.ndarray:
    """Return i64[n, T + 1]: the first token of each window and its targets."""
    return np.concatenate([np.asarray(windows.inputs)[:, :1], windows.targets], axis=1).astype(np.int64)
