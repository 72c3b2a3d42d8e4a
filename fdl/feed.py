"""Feeds: which rows each step and each evaluation sees.

Shape legend: B batch, S steps per call.
"""

import numpy as np

from fdl.data.order import orders
from fdl.types import Rows


def training_rows(seed: int, first_step: int, steps: int, *, batch_size: int, size: int) -> Rows:
    """Return the rows of the S training batches that begin at `first_step`: a function of its arguments alone."""
    indices = orders(seed, first_step, steps, batch_size=batch_size, size=size).astype(np.int32)
    return Rows(indices, np.ones(indices.shape, np.float32))


def evaluation_rows(*, batch_size: int, size: int) -> Rows:
    """Return every row exactly once and in order, the last batch padded to the one shape with weight 0."""
    steps = -(-size // batch_size)
    place = np.arange(steps * batch_size, dtype=np.int32).reshape(steps, batch_size)
    return Rows(np.where(place < size, place, 0), (place < size).astype(np.float32))
