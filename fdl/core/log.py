"""Where lines for the user go."""

from collections.abc import Callable
from pathlib import Path

Log = Callable[[str], None]

_ADDRESSES: dict[str, str] = {}  # working folder -> the address that it stands for


def silent(line: str) -> None:
    """Take a line and show it to nobody."""


def logger(log: Log | None) -> Log:
    """Return what takes lines and passes them to `log`, with addresses in place of working folders; None is silence."""
    return silent if log is None else lambda line: log(by_address(line))


def name_folder(folder: Path, address: str) -> None:
    """Call a working folder by the address that it stands for, in every line from now on."""
    _ADDRESSES[str(folder)] = address


def by_address(text: str) -> str:
    """Return a text with the addresses of working folders in their place."""
    for folder, address in _ADDRESSES.items():
        text = text.replace(folder, address)
    return text
