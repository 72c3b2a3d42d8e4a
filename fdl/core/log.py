"""Where lines for the user go."""

from collections.abc import Callable

Log = Callable[[str], None]


def silent(line: str) -> None:
    """Take a line and show it to nobody."""


def logger(log: Log | None) -> Log:
    """Return `log`; None is silence."""
    return silent if log is None else log
