"""Tables that are larger than memory: rows of typed values in one file on disk, read by row; nothing of it is held.

A file that is mapped into memory counts as memory as soon as it is touched; this one is read with `pread`, so that a
run's memory does not grow with its table.
"""

import ctypes
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fdl.data.readers.tables.cells import Texts, Words
from fdl.data.records import Column

_BLOCK = 65_536  # rows that are read together
_DENSE = 4  # sorted rows with at most this mean distance are read together with the rows between them


class RowStore:
    """Rows of typed values: numbers and dates as such, texts by their number among `words`.

    path: the file; dtype: of one row, a field per column; words: column -> its different texts.
    """

    def __init__(self, path: Path, dtype: np.dtype, words: Mapping[str, Words]) -> None:
        self.path, self.dtype, self.words = path, dtype, words
        self.file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.file)

    def read(self, rows: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        """Return columns of these rows; safe to call from several threads."""
        rows = np.asarray(rows)
        values = {name: np.empty(len(rows), self.dtype[name]) for name in names}
        for start in range(0, len(rows), _BLOCK):
            wanted = rows[start : start + _BLOCK]
            part, places = self._around(wanted)
            for name, column in values.items():
                column[start : start + len(wanted)] = part[name][places]
        return {name: Texts(found, self.words[name]) if name in self.words else found for name, found in values.items()}

    def _around(self, rows: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return rows that hold these, and where: read with what lies between if they are in order and near."""
        size, first, last = self.dtype.itemsize, int(rows[0]), int(rows[-1])
        if len(rows) <= last - first + 1 <= _DENSE * len(rows) and bool((np.diff(rows) > 0).all()):
            data = os.pread(self.file, (last - first + 1) * size, first * size)
            return np.frombuffer(data, self.dtype), slice(None) if last - first + 1 == len(rows) else rows - first
        data = b"".join([os.pread(self.file, size, row * size) for row in rows.tolist()])
        return np.frombuffer(data, self.dtype), slice(None)


def store_rows(
    path: Path, dtype: np.dtype, words: Mapping[str, Words], batches: Callable[[], Iterator[Mapping[str, np.ndarray]]]
) -> RowStore:
    """Return the rows that are kept at `path`, written first where they are not there yet.

    batches: yields columns of consecutive rows as they are kept. The file appears only when it is whole.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        try:
            with open(scratch, "wb") as file:
                for columns in batches():
                    rows = np.empty(len(next(iter(columns.values()))), dtype)
                    for name, values in columns.items():
                        rows[name] = values
                    file.write(rows.view(np.uint8).data)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
    return RowStore(path, dtype, words)


def release_memory() -> None:
    """Give back to the system what Arrow and the C library keep for what may come: as much as the table's columns."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
