"""Cells of text as dates and times: ISO 8601, or one of a few formats for the whole column; never two at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fdl.data.readers.tables.dialect import Dialect
from fdl.data.readers.tables.numbers import MOSTLY, missing_words, to_arrow, to_numpy

ISO = "ISO 8601"
_ISO = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?)?"
    r"( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?$"
)
_DAYS = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
)
_NAMED = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%d-%b-%y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%b-%Y",
    "%b %Y",
    "%B %Y",
    "%b-%y",
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M:%S", "T%H:%M:%S")
_FORMATS = (*(day + time for day in (*_DAYS, *_NAMED) for time in _TIMES), "%Y-%m", "%Y/%m", "%a %b %d %H:%M:%S %Y")
_PARTS = r"^([A-Za-z]{3} )?([0-9]{1,4}|[A-Za-z]{3,9})[-/. ]([0-9]{1,4}|[A-Za-z]{3,9})\b"  # as any of these begins
_CLOCK = r"^[0-9]{1,3}:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?$"
_LOOK = 64  # cells that a format is chosen by; all are read by it then


@dataclass(frozen=True, kw_only=True)
class Dates:
    """Different cells as dates.

    values: datetime64[us][k] in UTC, or without a zone where none is given; NaT for what is missing or odd.
    gone, odd: bool[k], as of `Numbers`.
    format: ISO 8601, or as `strptime` has it. doubt: why it may as well be another; empty where it may not.
    """

    values: np.ndarray
    gone: np.ndarray
    odd: np.ndarray
    format: str
    doubt: str = ""


def parse_dates(words: Any, counts: np.ndarray, dialect: Dialect, *, forced: bool = False) -> Dates | str:
    """Return the different cells of a column (an Arrow string array) as dates, or why they are none.

    A format must read at least nine tenths of the cells that are there.
    """
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(words)
    gone = missing_words(trimmed, dialect.missing)
    present = np.flatnonzero(~gone)
    if not len(present):
        return "empty"
    look = trimmed.take(present[np.linspace(0, len(present) - 1, min(len(present), _LOOK)).astype(int)])
    if dialect.dates:
        formats = [dialect.dates]
    elif pc.mean(pc.match_substring_regex(look, _ISO).cast("int8")).as_py() >= MOSTLY:
        formats = [ISO]
    elif pc.mean(pc.match_substring_regex(look, _PARTS).cast("int8")).as_py() < MOSTLY:
        return "text"
    else:
        formats = [form for form in _FORMATS if np.isnat(_read(look, form)).mean() <= 1 - MOSTLY]
    read = {form: np.where(gone, np.datetime64("NaT", "us"), _read(trimmed, form)) for form in formats}
    total = counts[~gone].sum()
    allowed = total if forced else (1 - MOSTLY) * total
    read = {form: values for form, values in read.items() if counts[np.isnat(values) & ~gone].sum() <= allowed}
    if not read:
        return "text"
    best = min(read, key=lambda form: int(counts[np.isnat(read[form]) & ~gone].sum()))
    fewest, doubt = np.isnat(read[best]).sum(), ""
    for form, values in read.items():
        if np.isnat(values).sum() == fewest and not np.array_equal(values, read[best], equal_nan=True):
            cell = trimmed[int(present[0])].as_py()
            doubt = f"{cell} may be {best} or {form}; give --dialect=dates={best.replace(' ', '_')} or the other"
    return Dates(values=read[best], gone=gone, odd=np.isnat(read[best]) & ~gone, format=best, doubt=doubt)


def is_compact(least: float, most: float) -> bool:
    """Say whether whole numbers between these may be days as 20240131 is one."""
    return least >= 19000101 and most <= 21001231


def compact_dates(values: np.ndarray) -> np.ndarray | None:
    """Return whole numbers that are all days as 20240131 is one, from 1900 to 2100, as datetime64[us]; else None."""
    if values.dtype != np.int64 or len(values) < 3 or not is_compact(values.min(), values.max()):
        return None
    months = (values // 10000 - 1970) * 12 + values // 100 % 100 - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (values % 100 - 1)
    valid = (values // 100 % 100 >= 1) & (values // 100 % 100 <= 12) & (values % 100 >= 1)
    same = days.astype("datetime64[M]").astype(np.int64) == months
    return days.astype("datetime64[us]") if bool((valid & same).all()) else None


def parse_clock(words: Any, dialect: Dialect) -> tuple[np.ndarray, np.ndarray] | None:
    """Return times of day and durations (5:12, 05:12:30) as minutes f64[k] and what is missing, None if one is none."""
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(words)
    gone = missing_words(trimmed, dialect.missing)
    clock = to_numpy(pc.match_substring_regex(trimmed, _CLOCK).cast("uint8")).astype(bool)
    if not clock.any() or not (clock | gone).all():
        return None
    cells = [f"{cell}:0:0".split(":")[:3] for cell in trimmed.filter(to_arrow(clock)).to_pylist()]
    minutes = np.full(len(trimmed), np.nan)
    minutes[clock] = np.array(cells, np.float64) @ [60, 1, 1 / 60]
    return minutes, gone


def _read(cells: Any, form: str) -> np.ndarray:
    """Return datetime64[us][k] of cells in a format, NaT where one is not."""
    if form == ISO:
        return _iso(cells)
    import pandas

    read = pandas.to_datetime(cells.to_pylist(), format=form, errors="coerce", utc="%z" in form, cache=False)
    return np.asarray(read.tz_localize(None), "datetime64[us]")


def _iso(cells: Any) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pc.if_else(pc.match_substring_regex(cells, _ISO), cells, None)
    zoned = pc.match_substring_regex(cells, r":[0-9.,]+ ?(Z|[+-][0-9:]+)$")
    values = np.full(len(cells), np.datetime64("NaT", "us"))
    for where, kind in ((zoned, pa.timestamp("us", "UTC")), (pc.invert(zoned), pa.timestamp("us"))):
        where = pc.fill_null(where, False)
        rows = np.flatnonzero(to_numpy(where.cast(pa.uint8())))
        part = cells.filter(where)
        try:
            read = part.cast(kind)
        except pa.ArrowInvalid:  # the 31st of February: one by one
            read = pa.array([_one(cell, kind) for cell in part.to_pylist()], kind)
        values[rows] = to_numpy(read.cast(pa.int64())).astype("datetime64[us]")
    return values


def _one(cell: str, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.scalar(cell).cast(kind).as_py()
    except pa.ArrowInvalid:
        return None
