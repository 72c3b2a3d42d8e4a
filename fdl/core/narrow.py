"""64-bit numbers in the 32 bits that JAX has by default, or one line where they do not fit."""

import numpy as np

from fdl.core.errors import UserError

_ROUNDING = 1e-12  # what differs by less, of its level, differs by rounding in 64 bits
_LEVELS = 50  # different values that 32 bits must distinguish between the least and the greatest of a column


def narrow(values: np.ndarray) -> np.ndarray:
    """Return the array [n, ...] in a dtype that JAX has by default; raise where integers or digits are lost by it."""
    values = np.asarray(values)
    if values.dtype == np.float64:
        _refuse_lost_digits(values)
        return values.astype(np.float32)
    if values.dtype in (np.int64, np.uint64, np.uint32):
        if values.size and (values.max() > np.iinfo(np.int32).max or values.min() < np.iinfo(np.int32).min):
            seen = values.max() if values.max() > np.iinfo(np.int32).max else values.min()
            raise UserError(f"integer {seen} does not fit 32 bits; make it a float or number the values from 0")
        return values.astype(np.int32)
    return values


def _refuse_lost_digits(values: np.ndarray) -> None:
    """Raise a ValueError where a column varies by less than 32 bits distinguish at its level, as time stamps do."""
    if not values.size or not values.ndim:
        return
    low, high = values.min(0), values.max(0)
    with np.errstate(over="ignore", invalid="ignore"):
        level = np.maximum(np.abs(low), np.abs(high))
        step = np.spacing(level.astype(np.float32))
        lost = np.isfinite(step) & (high - low > _ROUNDING * level) & (high - low < _LEVELS * step)
    if not lost.any():
        return
    place = tuple(np.argwhere(lost)[0])
    column = values[(slice(None), *place)]
    kept, seen = (len(np.unique(x)) for x in (column.astype(np.float32), column))
    raise UserError(
        f"float64 numbers from {low[place]:.10g} to {high[place]:.10g} keep {kept} of {seen} different values in 32 "
        "bits; take their mean off first, in 64 bits"
    )
