"""How targets mark classes: one of several columns, several of them, or names that are nearly alike."""

import numpy as np

from fdl.data.modalities.plan import brief
from fdl.data.records import Column


def one_hot(array: np.ndarray) -> bool:
    """Say whether targets mark one class in each row, of two or more."""
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "fiub":
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(1) == 1).all())


def is_multi_label(values: Column) -> bool:
    """Say whether targets mark several classes in a row: zeros and ones, of which not just one is set."""
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiub":
        return False
    return bool(np.isin(values, (0, 1)).all())


def same_but_for_case(known: list[str]) -> str:
    """Say which two classes differ in case alone, which most often are one."""
    seen: dict[str, str] = {}
    for text in known:
        if (other := seen.setdefault(text.casefold(), text)) != text:
            return f"; {brief(other)} and {brief(text)} differ in case alone: write them alike if they are one class"
    return ""
