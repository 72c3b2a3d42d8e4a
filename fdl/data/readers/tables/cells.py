"""Columns that stay as Arrow holds them until a row is read: texts by number, and whatever else a file has."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np


class Words:
    """The different texts of a column. arrow: an Arrow array of them."""

    def __init__(self, arrow: Any) -> None:
        self.arrow = arrow

    def __len__(self) -> int:
        return len(self.arrow)

    @cached_property
    def strings(self) -> list[str]:
        """All of them."""
        return list(self.arrow.to_pylist())


class Texts(Sequence[Any]):
    """Texts of which many may be the same.

    codes: i32[n] the number of each row's text among `words`, -1 where it is missing.
    """

    def __init__(self, codes: np.ndarray, words: Words) -> None:
        self.codes, self.words = codes, words

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            return self.words.arrow[int(self.codes[rows])].as_py() if self.codes[rows] >= 0 else None
        return Texts(self.codes[rows], self.words)

    def __iter__(self) -> Iterator[str | None]:
        known = [*self.strings, None]
        return iter([known[code] for code in self.codes.tolist()])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(list(self), dtype or object)

    @property
    def strings(self) -> list[str]:
        """The different texts, by number."""
        return self.words.strings


class Cells(Sequence[Any]):
    """A column of anything, as Python's values when a row is read. cells: an Arrow array."""

    def __init__(self, cells: Any) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            return self.cells[int(rows)].as_py()
        return Cells(self.cells[rows] if isinstance(rows, slice) else self.cells.take(rows))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.cells.to_pylist())
