"""One look at every byte of a text table: how many lines it has, and whether its quotes pair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from fdl.data.readers.tables.dialect import Dialect, split_lines, split_rows

_BLOCK = 2**17  # small enough for the cache: twice as fast as a mebibyte


@dataclass(frozen=True, kw_only=True)
class Body:
    """The rows of a text table: the bytes of a file below its header.

    open_file: opens the file's bytes, decompressed and UTF-8. start: where the rows begin.
    """

    open_file: Callable[[], BinaryIO]
    start: int
    dialect: Dialect
    path: str

    def open(self) -> BinaryIO:
        """Return the file, open where the rows begin."""
        file = self.open_file()
        file.read(self.start)
        return file

    def read(self, size: int = -1) -> bytes:
        """Return the bytes of the rows, or the first of them."""
        with self.open() as file:
            return file.read(size)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of the rows, some at a time."""
        with self.open() as file:
            while block := file.read(_BLOCK):
                yield block

    def line(self, offset: int) -> int:
        """Return the line of the file in which this byte of the rows is."""
        data = self.read(offset)
        return self.dialect.skip + 1 + (data.count(b"\n") or data.count(b"\r"))

    def rows(self, size: int = -1) -> tuple[list[list[str]], list[int]]:
        """Return the cells of each row, and the line of the file where it ends; as Python reads them: slowly."""
        lines = split_lines(self.read(size).decode(errors="replace"))
        if size >= 0 and len(lines) > 1:
            lines.pop()
        rows, ends = split_rows(lines, self.dialect.delimiter, self.dialect.quote)
        return rows, [self.dialect.skip + end for end in ends]

    def line_of_row(self, row: int) -> int:
        """Return the line of the file where a row begins; blank ones and those in quoted cells count as well."""
        lines = split_lines(self.read().decode(errors="replace"))
        _, ends = split_rows(lines, self.dialect.delimiter, self.dialect.quote)
        first = ends[row - 1] if row else 0
        while not lines[first].strip():
            first += 1
        return self.dialect.skip + first + 1


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What the bytes of the rows say.

    lines:       how many there are.
    nul:         the place of the first NUL byte, None where there is none.
    wrong_quote: the place of the first quote that neither opens nor closes a cell, None where there is none.
    multiline:   whether quoted cells hold line ends.
    coded:       whether a cell may begin as 007 or 0x1f do: columns of such are no numbers.
    """

    lines: int
    nul: int | None
    wrong_quote: int | None
    multiline: bool
    coded: bool


def scan(body: Body) -> Scan:
    """Return what one look at the bytes says; a second one at quotes follows only where there are any."""
    quote = body.dialect.quote.encode()
    lines, place, last, nul, quoted, coded = 0, 0, b"\n", None, False, False
    for block in body.blocks():
        if nul is None and b"\0" in block:
            nul = place + block.index(b"\0")
        lines += _ends(block)
        quoted = quoted or bool(quote and quote in block)
        coded = coded or _coded(last + block, body.dialect)
        place, last = place + len(block), block[-2:]
    lines += last[-1:] not in (b"\n", b"\r")
    wrong, multiline = _quotes(np.frombuffer(body.read(), np.uint8), body.dialect) if quoted else (None, False)
    return Scan(lines=lines, nul=nul, wrong_quote=wrong, multiline=multiline, coded=coded)


def _ends(block: bytes) -> int:
    """Return how many lines end in these bytes; NumPy counts four times as fast as `bytes.count`."""
    values = np.frombuffer(block, np.uint8)
    return int(np.count_nonzero(values == ord("\n")) or np.count_nonzero(values == ord("\r")))


def _coded(block: bytes, dialect: Dialect) -> bool:
    """Say whether a cell in these bytes begins with a zero and a digit or an x."""
    values = np.frombuffer(block, np.uint8)
    before, here, after = values[:-2], values[1:-1], values[2:]
    found = here == ord("0")
    found &= (after - np.uint8(ord("0")) < 10) | (after | 32 == ord("x"))
    edge = before == ord(dialect.delimiter or "\n")
    for mark in ("\n", "\r", dialect.quote or "\n"):
        edge |= before == ord(mark)
    return bool((found & edge).any())


def _quotes(data: np.ndarray, dialect: Dialect) -> tuple[int | None, bool]:
    """Return the place of the first quote that pairs with none, and whether quoted cells hold line ends.

    Of the quotes in order, each second one must close: after the first of a pair comes anything, before it the edge of
    a cell or a quote (written twice within a cell), after the second likewise.
    """
    quote = ord(dialect.quote)
    edge = np.zeros(256, bool)
    edge[[quote, ord(dialect.delimiter), ord("\n"), ord("\r"), ord(" ")]] = True
    places = np.flatnonzero(data == quote)
    before = np.where(places > 0, edge[data[np.maximum(places - 1, 0)]], True)
    after = np.where(places + 1 < len(data), edge[data[np.minimum(places + 1, len(data) - 1)]], True)
    wrong = np.flatnonzero(np.where(np.arange(len(places)) % 2 == 0, ~before, ~after))
    if len(wrong):
        first = int(wrong[0])
        return int(places[first - first % 2]), False  # the pair's opening one: its partner may be far below
    if len(places) % 2:
        return int(places[-1]), False
    ends = np.flatnonzero((data == ord("\n")) | (data == ord("\r")))
    return None, bool((np.searchsorted(places, ends) % 2).any())
