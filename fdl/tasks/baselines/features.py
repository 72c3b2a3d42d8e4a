"""What linear baselines read of an example: one row of a matrix.

Shape legend: n examples, K numbers, C categorical columns or channels, T tokens or frames, H height, W width.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fdl.core.types import PyTree

_MIX = 1_000_003  # an odd multiplier of the rolling hash
Features = Callable[[PyTree], Any]


def columns(categories: Sequence[int] = ()) -> Features:
    """Return the features of a table's rows: its numbers, flattened, and its categories one-hot, f64[n, d].

    inputs: f[n, ...], or `{"inputs": f[n, K], "categories": i[n, C]}`; categories: the cardinality of each column.
    """

    def features(inputs: PyTree) -> np.ndarray:
        plain = not isinstance(inputs, dict)
        numbers = np.asarray(inputs if plain else inputs["inputs"], np.float64)
        numbers = numbers.reshape(len(numbers), -1)
        if plain:
            return numbers
        codes = np.asarray(inputs["categories"]).T
        one_hot = [np.eye(size)[column] for size, column in zip(categories, codes, strict=True)]
        return np.concatenate([numbers, *one_hot], axis=1)

    return features


def bag_of_tokens(vocabulary: int, longest: int = 1, buckets: int = 2**18) -> Features:
    """Return the features of texts: how often each run of 1 to `longest` tokens occurs, a SciPy matrix [n, d].

    inputs: `{"inputs": i[n, T], "lengths": i[n]}`. Runs of several tokens are hashed to `buckets` columns.
    """

    def features(inputs: PyTree) -> Any:
        from scipy.sparse import csr_array

        tokens = np.asarray(inputs["inputs"]).astype(np.int64)
        inside = np.arange(tokens.shape[1])[None] < np.asarray(inputs["lengths"])[:, None]
        wide, runs = (vocabulary if longest == 1 else buckets), np.zeros_like(tokens)
        rows, columns = [], []
        for length in range(1, longest + 1):
            runs = (np.pad(runs[:, :-1], ((0, 0), (1, 0))) * _MIX + tokens + length) if longest > 1 else tokens
            valid = inside & (np.arange(tokens.shape[1]) >= length - 1)[None]
            rows.append(np.nonzero(valid)[0])
            columns.append((runs[valid] & (2**62 - 1)) % wide)
        row, column = np.concatenate(rows), np.concatenate(columns)
        return csr_array((np.ones(len(row), np.float32), (row, column)), (len(tokens), wide))

    return features


def pixels(most: int = 1024) -> Features:
    """Return the features of pictures: their pixels, averaged over rectangles until they are at most `most`, f32[n, d].

    inputs: f[n, H, W, C].
    """

    def features(inputs: PyTree) -> np.ndarray:
        x = np.asarray(inputs, np.float32)
        n, height, width, channels = x.shape
        square = math.ceil(math.sqrt(max(1.0, height * width * channels / most)))
        across = min(width, square)  # and where the picture is not so wide, further down
        down = min(height, max(square, math.ceil(height * (width // across) * channels / most)))
        across = min(width, max(across, math.ceil((height // down) * width * channels / most)))
        rows, columns = height // down, width // across
        parts = x[:, : rows * down, : columns * across].reshape(n, rows, down, columns, across, channels)
        averaged: np.ndarray = parts.mean((2, 4)).reshape(n, -1)
        return averaged

    return features


def over_time(of: Features, channels: int | None = None) -> Features:
    """Return features of what lasts: those of the mean over time and those of the deviation from it.

    inputs: f[n, T, ..., C]; of: the features of f[n, ..., C]; channels: how many of the C count, from the first.
    """

    def features(inputs: PyTree) -> np.ndarray:
        x = np.asarray(inputs, np.float32)[..., :channels]
        return np.concatenate([of(x.mean(1)), of(x.std(1))], axis=1)

    return features


def nothing(inputs: PyTree) -> np.ndarray:
    """Return features without a column; the number of examples is that of the targets."""
    return np.zeros((0,))
