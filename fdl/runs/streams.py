"""Standard streams that may close at any time without ending the run.

A broken or closed stream is replaced by the null device; one that is temporarily full (a disk, a slow reader) loses
lines. Control characters, bidirectional marks and invalid bytes are escaped.
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
    """Escape control characters, so that a terminal shows `\\x1b[31m` instead of a colour."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def outlive_readers() -> None:
    """Keep this process running when the readers of its standard output or error close."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:  # otherwise the next opened file would get this descriptor
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Streams replaced by pytest or a notebook are kept.
    if sys.stdout is sys.__stdout__:
        sys.stdout = cast(TextIO, _Outliving(sys.stdout, 1, printable))
    if sys.stderr is sys.__stderr__:
        sys.stderr = cast(TextIO, _Outliving(sys.stderr, 2, str))  # the progress bar moves the cursor


class _Outliving:
    """A text stream over a file descriptor that may lose its reader; `shown` escapes the text to write."""

    def __init__(self, stream: TextIO | None, handle: int, shown: Callable[[str], str]):
        self.stream: Any = stream
        if stream is None:  # it was closed when Python started
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
