"""Cells of text as numbers: the one rule of what a number is and which words say that one is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdl.data.readers.tables.dialect import Dialect

MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "none", "nil", "unknown", "missing", "?", "-", "--", ".", "<na>", "nat"}
    | {"#n/a", "#na", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"}
)
MAINLY = "mostly numbers"  # how the reason begins why a column that nearly is one of numbers is text
MOSTLY = 0.9  # this share of the cells being numbers, the others are odd ones among numbers
_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_CODE = r"^[0-9]+[eE][0-9]+$"  # 12e4567 is a hash; a number is written 1.2e4 or 12e+04
_SIGNS = "$€£¥₹₽₩¢"
_CODES = ("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK", "USD")
_CURRENCY = f"(?:[{_SIGNS}]|{'|'.join(_CODES)})"
_BLANK = r"[\s\x{a0}\x{202f}]"
# What is taken out of a cell that is no number as it stands, in this order.
_CLEANED = (
    (r"[\x{2212}\x{2013}]", "-"),  # the minus of typesetters
    (rf"^([+-]?){_BLANK}*{_CURRENCY}{_BLANK}*([+-]?)", r"\1\2"),
    (rf"{_BLANK}*({_CURRENCY}|%)$", ""),
    (rf"^\([{_SIGNS}]?\s*([0-9][0-9.,]*)\)$", r"-\1"),  # as accountants write what is owed
    (r"^([0-9][0-9.,]*)-$", r"-\1"),  # as SAP writes it
    (r"^([+-]?[0-9]*\.?[0-9]+)[dD]([+-]?[0-9]+)$", r"\1e\2"),  # Fortran's exponent
)
# A number with a unit behind it, after a blank if it is no degree.
_UNIT = rf"^[+-]?\.?[0-9][0-9.,]*({_BLANK}+[^0-9\s.,:/-][^\s]{{0,9}}|°[CF]?)$"
_GROUPS = {
    ".": (
        r"^[+-]?([0-9]{1,2}(,[0-9]{2})+,[0-9]{3}|[0-9]{1,3}([,\x{a0}\x{202f}\x{2009}' ][0-9]{3})+)(\.[0-9]*)?$",
        r"[,\x{a0}\x{202f}\x{2009}' ]",
    ),
    ",": (r"^[+-]?[0-9]{1,3}([.\x{a0}\x{202f}\x{2009}' ][0-9]{3})+(,[0-9]*)?$", r"[.\x{a0}\x{202f}\x{2009}' ]"),
}


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Different cells as numbers.

    values: f64[k], NaN for what is missing or odd.
    gone:   bool[k] the words for missing; odd: bool[k] what is neither a number nor missing.
    note:   what was read as a number that is not written as one; empty where nothing was.
    doubt:  why the values may as well be others; empty where they may not.
    mixed:  two cells that are of different units, as '45 %' and '0.45'; empty where all are of one.
    """

    values: np.ndarray
    gone: np.ndarray
    odd: np.ndarray
    note: str = ""
    doubt: str = ""
    mixed: str = ""


def plain_numbers(cells: Any) -> np.ndarray | None:
    """Return an Arrow string array as i64[n] or f64[n] where every cell is written as a number or empty, else None.

    The quick way, which nearly every column of numbers goes: no cell is looked at twice. Codes (007, 0x10, 12e45) are
    not for it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if cells.null_count == len(cells):
        return None
    try:
        cells.slice(0, 100).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    zeros = pc.sum(pc.starts_with(cells, "0")).as_py()
    if cells.null_count == 0:
        try:
            values = to_numpy(cells.cast(pa.int64()))
        except pa.ArrowInvalid:
            pass
        else:
            return values if zeros == np.count_nonzero(values == 0) else None
    if pc.match_substring_regex(cells.slice(0, 1), _CODE)[0].as_py():
        return None
    try:
        values = to_numpy(cells.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None
    # A zero in front is one alone, or stands before a point.
    known = sum(pc.sum(where).as_py() for where in (pc.starts_with(cells, "0."), pc.equal(cells, "0")))
    return values if zeros == known else None


def parse_numbers(words: Any, counts: np.ndarray, dialect: Dialect, *, forced: bool = False) -> Numbers | str:
    """Return the different cells of a column (an Arrow string array) as numbers, or why they are text.

    counts: how often each occurs. forced: they are numbers whatever their share, and what is none is missing.

    A cell is a number as Python writes it, or with the dialect's decimal mark, with thousands in groups, a currency
    sign, a percent sign (read as what stands before it), U+2212 for a minus, or Fortran's exponent. Codes are text:
    whole numbers with leading zeros, and columns of 12e45.
    """
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(words)
    gone = missing_words(trimmed, dialect.missing)
    left = trimmed.filter(to_arrow(~gone))
    if len(left) == 0:
        return "empty"
    zeros, parts = (
        pc.any(pc.match_substring_regex(left, form)).as_py() for form in (r"^0[0-9]+$", r"^-?[0-9]*[.,][0-9]")
    )
    if zeros and not parts and not forced:
        return "leading zeros"
    if not forced and pc.all(pc.match_substring_regex(left, _CODE)).as_py():
        return "codes"
    plain, signed, ambiguous = _read(trimmed, dialect.decimal or ".")
    signed &= ~gone
    odd = np.isnan(plain) & ~gone
    if not forced and counts[odd].sum() > (1 - MOSTLY) * counts[~gone].sum():
        return _as_text(trimmed, counts, odd, gone)
    either = f"{ambiguous} may be a decimal or thousands; give --dialect=decimal=, or --dialect=decimal=."
    values = np.where(gone, np.nan, plain)
    note = f"{counts[signed].sum()} as {trimmed[int(np.argmax(signed))].as_py()!r}" if signed.any() else ""
    doubt = either if ambiguous and not dialect.decimal else ""
    mixed = "" if forced else _mixed_units(trimmed, values)
    return Numbers(values=values, gone=gone, odd=odd, note=note, doubt=doubt, mixed=mixed)


def _as_text(cells: Any, counts: np.ndarray, odd: np.ndarray, gone: np.ndarray) -> str:
    """Return why a column is text, as far as numbers are in it: a unit beside each, or some that are none."""
    import pyarrow.compute as pc

    present, first = counts[~gone].sum(), cells[int(np.argmax(odd))].as_py()
    if pc.any(pc.match_substring_regex(cells.slice(0, 100), _UNIT)).as_py():
        with_unit = to_numpy(pc.match_substring_regex(cells, _UNIT).cast("uint8")).astype(bool)
        if counts[with_unit].sum() >= MOSTLY * present:
            return f"numbers with a word beside them, as {first!r}: write them alone to learn from numbers"
    share = counts[~odd & ~gone].sum() / present
    return f"{MAINLY}: {first!r} is none, {share:.0%} are" if share >= 0.5 else "text"


def _mixed_units(cells: Any, values: np.ndarray) -> str:
    """Return two cells of different units: of two currencies, or '45 %' where what has no sign is at most 1 as 0.45."""
    import pyarrow.compute as pc

    known = ~np.isnan(values) & (values != 0)
    numbers, sizes = cells.filter(to_arrow(known)), np.abs(values[known])
    signs = {sign: pc.match_substring(numbers, sign) for sign in (*_SIGNS, *_CODES)}
    units = [where for where in signs.values() if pc.any(where).as_py()]
    percent = pc.match_substring(numbers, "%")
    signed = to_numpy(percent.cast("uint8")).astype(bool)
    if signed.any() and sizes[signed].max() > 1 >= sizes[~signed].max(initial=0):
        units += [percent, pc.invert(percent)]
    first = [found[0].as_py() for where in units if len(found := numbers.filter(where))]
    return f"{first[0]!r} and {first[1]!r}" if len(first) > 1 else ""


def missing_words(trimmed: Any, words: Sequence[str] = ()) -> np.ndarray:
    """Return bool[k]: which of these cells say that a number is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(sorted(MISSING | {word.lower() for word in words}), trimmed.type)
    return to_numpy(pc.is_in(pc.utf8_lower(trimmed), value_set=known).cast(pa.uint8())).astype(bool)


def _read(trimmed: Any, decimal: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return f64[k] with NaN for what is no number, which were cleaned to be one, and the first with commas only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _point(trimmed, decimal)
    good = pc.match_substring_regex(text, _PLAIN)
    rest = pc.invert(good)
    cleaned, ambiguous = _unsigned(trimmed.filter(rest), decimal)
    read = pc.match_substring_regex(cleaned, _PLAIN)
    text = pc.replace_with_mask(pc.if_else(good, text, None), rest, pc.if_else(read, cleaned, None))
    signed = to_numpy(rest.cast(pa.uint8())).astype(bool)
    signed[signed] = to_numpy(read.cast(pa.uint8())).astype(bool)
    return to_numpy(text.cast(pa.float64())), signed, ambiguous


def _point(cells: Any, decimal: str) -> Any:
    """Return cells with a point for the decimal mark; with a decimal comma, those that have a point too are no more."""
    import pyarrow.compute as pc

    if decimal != ",":
        return cells
    return pc.if_else(pc.match_substring(cells, "."), "", pc.replace_substring(cells, ",", "."))


def _unsigned(cells: Any, decimal: str) -> tuple[Any, str]:
    """Return cells without signs of currency, percent and thousands, and the first that has commas in groups only."""
    import pyarrow.compute as pc

    for pattern, replacement in _CLEANED:
        cells = pc.replace_substring_regex(cells, pattern, replacement)
    pattern, marks = _GROUPS[decimal]
    commas = cells.filter(pc.match_substring_regex(cells, r"^[+-]?[0-9]{1,3}(,[0-9]{3})+$"))
    grouped = pc.match_substring_regex(cells, pattern)
    cells = pc.if_else(grouped, pc.replace_substring_regex(cells, marks, ""), cells)
    return pc.replace_substring(cells, ",", ".") if decimal == "," else cells, commas[0].as_py() if len(commas) else ""


def to_numpy(array: Any) -> np.ndarray:
    """Return an Arrow array of numbers as NumPy's, NaN for null; Arrow's own way imports pandas first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        parts = [to_numpy(chunk) for chunk in array.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, array.type.to_pandas_dtype())
    if array.null_count:
        array = pc.fill_null(array if pa.types.is_floating(array.type) else array.cast(pa.float64()), float("nan"))
    return np.asarray(np.from_dlpack(array))


def to_arrow(mask: np.ndarray) -> Any:
    """Return a NumPy array as Arrow's."""
    import pyarrow as pa

    return pa.array(mask)
