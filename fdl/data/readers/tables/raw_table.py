"""A table as its file holds it, before its columns are typed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fdl.data.readers.tables.dialect import Dialect


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """The columns of one file.

    columns: name -> Arrow chunked array, all of the same length `rows`; taken out one by one as they are typed.
    line_of: `row -> line of the file where it begins`, None where a file has no lines.
    notes:   what the reader decided, a phrase each.
    labels:  the names of the classes of columns that the file declares to be labels.
    """

    columns: dict[str, Any]
    rows: int
    line_of: Callable[[int], int] | None = None
    dialect: Dialect | None = None
    notes: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
