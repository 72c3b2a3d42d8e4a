"""Integer arithmetic that Python has no name for."""


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
