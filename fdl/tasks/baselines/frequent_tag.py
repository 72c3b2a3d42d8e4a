"""The most frequent tag of a word, and of an unknown word that of its ending.

Shape legend: n sentences, T words, L letters, K tags.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fdl.core.types import Batch, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted, measure_of

LONGEST = 4  # letters of an ending
Counts = dict[tuple[int, ...], np.ndarray]


def frequent_tag() -> Baseline:
    """Make the baseline of each word's most frequent tag in train; unknown words take that of their longest ending.

    inputs: `{"letters": i32[n, T, L]}`; targets: i32[n, T]; words of weight 0 are not counted.
    """

    def fit(train: Batch, task: Task, outputs: int) -> Fitted:
        counts: Counts = {}
        for word, tag in zip(_spelled(train), np.asarray(train.targets)[np.asarray(train.weights) > 0], strict=True):
            for key in _keys(word):
                counts.setdefault(key, np.zeros(outputs))[tag] += 1

        def predict(some: Batch) -> np.ndarray:
            weights = np.asarray(some.weights) > 0
            logits = np.zeros((*weights.shape, outputs))
            known = (next(counts[key] for key in _keys(word) if key in counts) for word in _spelled(some))
            logits[weights] = [np.log((each + 1 / outputs) / (each.sum() + 1)) for each in known]
            return logits

        return Fitted("most frequent tag of a word or ending", measure_of(task, predict))

    return Baseline(fit=fit, features=lambda inputs: {"letters": inputs["letters"]})


def _spelled(sentences: Batch) -> Iterator[tuple[int, ...]]:
    inputs: Any = sentences.inputs
    for letters in np.asarray(inputs["letters"])[np.asarray(sentences.weights) > 0]:
        yield tuple(letters[letters > 0].tolist())


def _keys(word: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the word itself, which begins with -1, then its endings from the longest to the empty one."""
    yield (-1, *word)
    for length in range(min(LONGEST, len(word)), -1, -1):
        yield word[len(word) - length :]
