"""A last row that sums up those above, as spreadsheets end: no example, and the largest of all."""

from collections.abc import Mapping

import numpy as np

from fdl.data.readers.tables.cells import Texts
from fdl.data.records import Column

_TOTALS = frozenset(
    {"total", "totals", "grand total", "sum", "summe", "gesamt", "gesamtsumme", "insgesamt", "ensemble", "somme"}
)


def total_row(columns: Mapping[str, Column]) -> str:
    """Say which cell of the last row names a total, where it is the only such one and a number is the others' sum."""
    for name, values in columns.items():
        if not isinstance(values, Texts) or len(values) < 3 or values.codes[-1] < 0:
            continue
        word = values[len(values) - 1]
        once = np.count_nonzero(values.codes == values.codes[-1]) == 1
        if once and word.strip(" :").lower() in _TOTALS and any(map(_ends_with_sum, columns.values())):
            return f"{name} is {word!r}"
    return ""


def _ends_with_sum(values: Column) -> bool:
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "if":
        return False
    above = np.nansum(values[:-1])
    return bool(above and np.isclose(values[-1], above, rtol=1e-6, atol=1e-6 * np.nansum(np.abs(values[:-1]))))
