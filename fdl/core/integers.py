"""Integer arithmetic that Python and NumPy have no name for."""

import numpy as np

_BLOCK = 2**20


def ceil_div(count: int, size: int) -> int:
    """Return how many blocks of `size` hold `count`.

    >>> ceil_div(7, 3)
    3
    """
    return -(-count // size)


def round_up(count: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `count`.

    >>> round_up(7, 3)
    9
    """
    return ceil_div(count, multiple) * multiple


def count_each(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return i64[length]: how often each of 0 to length - 1 is in `numbers: [n]`; those below 0 are not counted.

    A block at a time: `np.bincount` makes 64 bits of all first, eight times the memory of numbers that have 8.

    >>> count_each(np.array([1, 1, -1, 2], np.int8), 4).tolist()
    [0, 2, 1, 0]
    """
    counts = np.zeros(length, np.int64)
    for start in range(0, len(numbers), _BLOCK):
        block = numbers[start : start + _BLOCK]
        counts += np.bincount(block[block >= 0], minlength=length)
    return counts
