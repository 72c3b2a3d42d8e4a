"""One look at every byte of a text table: how many lines it has, and whether its quotes pair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from fdl.data.readers.dialect import Dialect, split_lines, split_rows

_BLOCK = 2**20


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
        """Yield the bytes of the rows a mebibyte at a time."""
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
    """

    lines: int
    nul: int | None
    wrong_quote: int | None
    multiline: bool


def scan(body: Body) -> Scan:
    """Return what one look at the bytes says; a second one at quotes follows only where there are any."""
    quote = body.dialect.quote.encode()
    lines, place, last, nul, quoted = 0, 0, b"\n", None, False
    for block in body.blocks():
        if nul is None and b"\0" in block:
            nul = place + block.index(b"\0")
        lines += block.count(b"\n") or block.count(b"\r")
        quoted = quoted or bool(quote and quote in block)
        place, last = place + len(block), block[-1:]
    lines += last not in (b"\n", b"\r")
    wrong, multiline = _quotes(np.frombuffer(body.read(), np.uint8), body.dialect) if quoted else (None, False)
    return Scan(lines=lines, nul=nul, wrong_quote=wrong, multiline=multiline)


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
