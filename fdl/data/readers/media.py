"""Encoded pictures, sounds and clips of any origin, and how what cannot be read of them is said: all together.

An item is a file's path, or the bytes that a file would hold (a cell of a Parquet file).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.pixels import Unreadable
from fdl.data.records import Ask, Column, Field

Item = str | bytes
_LISTED = 50  # names in one message
LOOKED_AT = 2**14  # items whose headers are read at every start, some 50 µs each


@dataclass(frozen=True, kw_only=True)
class Items:
    """Encoded values in splits.

    get: `(split, index) -> item`. at: `(split, index) -> str`, where a user finds it. what: the plural of one value.
    way: the way out where some cannot be read.
    """

    what: str
    sizes: Mapping[str, int]
    get: Callable[[str, int], Item]
    at: Callable[[str, int], str]
    way: str = "mend or remove them"

    def places(self, most: int | None = None) -> list[tuple[str, int]]:
        """Return split and index of every item, or of `most` that are evenly spread where there are more."""
        count = sum(self.sizes.values())
        every = ((split, i) for split, size in self.sizes.items() for i in range(size))
        if most is None or count <= most:
            return list(every)
        chosen = set(np.linspace(0, count - 1, most).astype(int).tolist())
        return [place for number, place in enumerate(every) if number in chosen]


@dataclass(frozen=True, kw_only=True)
class Media:
    """What a look at the headers of all items has found.

    field:  what the column holds. decode: `item -> value`; raises Unreadable.
    notes:  what was decided, a line each.
    """

    field: Field
    decode: Callable[[Item], Any]
    notes: tuple[str, ...] = ()


class Failures:
    """Makes the error that lists every item which cannot be read, once one was met; all are decoded for it, once."""

    def __init__(self, items: Items, decode: Callable[[Item], Any]):
        self.items, self.decode = items, decode
        self.lock, self.said = Lock(), ""

    def error(self, met: str) -> UserError:
        """Return the error; safe to call from the several threads that decode. met: what was raised at first."""
        with self.lock:
            if not self.said:
                found = failures(self.items, self.decode)
                self.said = unreadable(self.items, found) if found else f"{self.items.what}: {met}"
        return UserError(self.said)


def reading(items: Items, decode: Callable[[Item], Any]) -> Callable[[str, np.ndarray], list[Any]]:
    """Return `(split, indices) -> values`, which raises a ValueError that lists all that cannot be read."""
    failed = Failures(items, decode)

    def read(split: str, indices: np.ndarray) -> list[Any]:
        try:
            return [decode(items.get(split, int(i))) for i in indices]
        except Unreadable as error:
            raise failed.error(str(error)) from None

    return read


def failures(items: Items, decode: Callable[[Item], Any]) -> list[tuple[str, int, str]]:
    """Return split, index and reason of every item that `decode` cannot read."""
    found = []
    for split, index in items.places():
        try:
            decode(items.get(split, index))
        except Unreadable as error:
            found.append((split, index, str(error)))
    return found


def unreadable(items: Items, failed: Sequence[tuple[str, int, str]]) -> str:
    """Return the one line that lists what cannot be read, and the way out."""
    listed = ", ".join(f"{items.at(split, index)} ({why})" for split, index, why in failed[:_LISTED])
    more = f" and {len(failed) - _LISTED:,} more" if len(failed) > _LISTED else ""
    count = sum(items.sizes.values())
    return f"{len(failed):,} of {count:,} {items.what} cannot be read: {listed}{more}; {items.way}"


def asking(ask: Ask, items: Items, media: Media) -> Callable[[str, np.ndarray], Column]:
    """Return `reading` of pictures in files, which another process decodes."""
    failed = Failures(items, media.decode)

    def read(split: str, indices: np.ndarray) -> Column:
        files = [items.get(split, int(i)) for i in indices]
        try:
            return ask("pictures", files=files, channels=media.field.shape[-1])["image"]
        except ValueError as error:
            raise failed.error(str(error)) from None

    return read
