"""The adding problem: the sum of two marked numbers in a long sequence. Hochreiter and Schmidhuber, 1997."""

from functools import cache

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, Source, Spec, columns

SIZES = {"train": 20_000, "validation": 500, "test": 2_000}


def adding(length: int = 100, *, seed: int = 0) -> Dataset:
    """Return sequences: inputs f32[B, T, 2], a number in [0, 1] and a mark at each step; targets f32[B].

    Two steps are marked, one in each half; the target is the sum of their numbers. Always to answer 1 has an RMSE of
    0.408.
    """
    if length < 2:
        raise UserError(f"length {length} cannot hold two marks; give 2 or more")

    @cache
    def load(split: str) -> Source:
        size = SIZES[split]
        rng = np.random.default_rng([seed, list(SIZES).index(split)])
        numbers = rng.random((size, length), np.float32)
        rows = np.arange(size)
        first, second = rng.integers(0, length // 2, size), rng.integers(length // 2, length, size)
        marks = np.zeros((size, length), np.float32)
        marks[rows, first] = marks[rows, second] = 1
        return columns(np.stack([numbers, marks], -1), numbers[rows, first] + numbers[rows, second])

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((length, 2), np.float32),
        targets=jax.ShapeDtypeStruct((), np.float32),
        sizes=SIZES,
        center=1.0,
        scale=0.408,
    )
    return Dataset(name="adding", spec=spec, load=load)
