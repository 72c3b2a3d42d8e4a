"""Windows of a long array, each with the same window one place later as targets.

Shape legend: B batch, T positions of a window.
"""

import math
from collections.abc import Callable

import numpy as np

from fdl.core.errors import UserError
from fdl.core.narrow import narrow
from fdl.core.types import Array, Batch
from fdl.data.dataset import Source, _numpy_of


def windows(values: np.ndarray, length: int, *, stride: int = 1) -> Source:
    """Return a source of windows of a long array, with the window shifted by one as targets.

    values: [n, ...], at least two positions. Stride 1 gives all windows (training), stride `length` predicts each
    position exactly once, the last window padded with weight 0 (evaluation).
    """
    values, positions = narrow(values), len(values) - 1
    if positions < length and stride == 1:
        raise UserError(f"{len(values)} values hold no window of length {length}; give a length below {len(values)}")
    if positions < 1:
        raise UserError(f"{len(values)} values predict nothing; give at least two")
    return Source(arrays=values, size=window_count(len(values), length, stride), take=take_windows(length, stride))


def window_count(count: int, length: int, stride: int) -> int:
    """Return the number of windows over `count` values."""
    return count - length if stride == 1 else math.ceil((count - 1) / stride)


def disjoint_windows(count: int, length: int) -> int:
    """Return the number of disjoint windows over `count` values: an epoch, though training windows overlap."""
    return max(1, math.ceil((count - 1) / length))


def take_windows(length: int, stride: int) -> Callable[[Array, Array], Batch]:
    """Return a take function of inputs [B, T, ...], targets shifted by one, and weights f32[B, T]."""

    def take(values: Array, indices: Array) -> Batch:
        numpy = _numpy_of(indices)
        positions = indices[:, None] * stride + numpy.arange(length, dtype=indices.dtype)[None]
        last = len(values) - 2
        weights = (positions <= last).astype(np.float32)
        positions = numpy.minimum(positions, last)
        return Batch(values[positions], values[positions + 1], weights)

    return take
