"""Standard streams that may close at any time: what is printed is for whoever still reads, and never a reason to end.

A broken or closed stream becomes the null device; one that is full for now (a disk, a slow reader) loses lines. What a
terminal would obey or hide (escapes, marks that turn text around, bytes that are no text) is shown escaped.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET)
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def printable(text: str) -> str:
    """Return text without anything that a terminal would obey: `\\x1b[31m` and no colour."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def outlive_readers() -> None:
    """Let this process outlive whoever reads its standard output and error, from here on."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:  # else the next file that is opened would be taken for the terminal
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Where others have put streams of their own (pytest, notebooks), those stay.
    if sys.stdout is sys.__stdout__:
        sys.stdout = cast(TextIO, _Outliving(sys.stdout, 1, printable))
    if sys.stderr is sys.__stderr__:
        sys.stderr = cast(TextIO, _Outliving(sys.stderr, 2, str))  # the progress bar moves the cursor


class _Outliving:
    """A text stream over a file descriptor that may lose its reader; `shown` is what is written of a text."""

    def __init__(self, stream: TextIO | None, handle: int, shown: Callable[[str], str]):
        self.stream: Any = stream
        if stream is None:  # it was closed when Python began
            self.stream = open(handle, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        self.stream.reconfigure(errors="backslashreplace")
        self.handle, self.shown = handle, shown

    def write(self, text: str) -> int:
        self._survive(lambda: self.stream.write(self.shown(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._survive(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _survive(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno in _GONE:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.handle)
                os.close(null)
