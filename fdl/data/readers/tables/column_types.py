"""The type of each column, decided once over all splits together: number, date, text, array, or not used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import count_each
from fdl.data.readers.tables.cells import Cells, Texts, Words
from fdl.data.readers.tables.dates import ISO, Dates, compact_dates, parse_clock, parse_dates
from fdl.data.readers.tables.dialect import PLAIN, Dialect
from fdl.data.readers.tables.numbers import MAINLY, Numbers, parse_numbers, plain_numbers, to_numpy
from fdl.data.records import Column, Field

At = Callable[[int], str]
OBJECT = np.dtype(object)
NEVER = np.datetime64("NaT", "us")
_NINES = [(10**digits - 1) / scale for digits in range(2, 7) for scale in (1, 10)]
SENTINELS = {*_NINES, *(-value for value in _NINES), -200.0}
TYPES = ("number", "date", "text", "category")


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A column of all splits, one after another, with its field.

    dates: the format that they are written in. by_cells: whether the values are not those that the file holds.
    """

    field: Field
    values: Column
    dates: str = ""
    by_cells: bool = False


def type_column(name: str, cells: Any, dialect: Dialect, at: At, forced: str = "") -> Typed:
    """Return an Arrow chunked array, all splits one after another, as a typed column.

    at: `row -> where a user would look for it`. forced: a type that is not inferred, of `TYPES`.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(cells.type) and not _is_text(cells.type.value_type):
        cells = cells.cast(cells.type.value_type)
    if forced and cells.null_count == len(cells):
        return _all_missing(len(cells), forced)
    kind = cells.type
    coded = pa.types.is_dictionary(kind)
    words = coded or _is_text(kind) or pa.types.is_boolean(kind)
    as_words = forced in ("text", "category") or (forced == "date" and pa.types.is_integer(kind))
    if words or (as_words and not pa.types.is_nested(kind)):
        text = cells if coded else as_text(cells)
        typed = replace(_by_cells(name, text, dialect, at, forced), by_cells=True)
    else:
        typed = _by_file(cells)
    if forced and typed.field.kind not in (forced, "text" if forced == "category" else forced):
        raise UserError(f"column {name!r} holds {typed.field.kind}, no {forced}; give it another of --roles")
    if typed.field.kind != "number" or not isinstance(typed.values, np.ndarray):
        return typed
    values = _without(typed.values, dialect.missing)
    if not forced and (days := compact_dates(values)) is not None:
        return replace(_date(days, note="as %Y%m%d"), dates="%Y%m%d", by_cells=True)
    rows, suspect = ("", "") if forced else (_row_numbers(values), _sentinel(name, values))
    return replace(typed, field=replace(typed.field, dtype=values.dtype, left_out=rows, suspect=suspect), values=values)


def type_json(what: Typed) -> dict[str, str]:
    """Return how the cells of a new column are to be read: nothing where its file itself must say it."""
    if what.field.kind not in TYPES:
        return {}
    return {"type": what.field.kind, **({"dates": what.dates} if what.dates else {})}


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def as_text(cells: Any) -> Any:
    """Return an Arrow chunked array as text: whole numbers without a point, as most files write them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    wanted = pa.large_string() if cells.nbytes > 2**30 else pa.string()
    text = cells if cells.type == wanted else cells.cast(wanted)
    return pc.replace_substring_regex(text, r"\.0$", "") if pa.types.is_floating(cells.type) else text


def _by_file(cells: Any) -> Typed:
    """Return a column whose file says what it holds."""
    import pyarrow as pa

    kind = cells.type
    if pa.types.is_integer(kind) and cells.null_count == 0 and kind != pa.uint64():
        return _number(to_numpy(cells.cast(pa.int64())))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number(to_numpy(cells.cast(pa.float64(), safe=False)))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = cells.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).fill_null(np.iinfo(np.int64).min)
        return _date(to_numpy(micros).astype("datetime64[us]"))
    if pa.types.is_duration(kind) or pa.types.is_time(kind):
        unit = pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us")
        return _number(to_numpy(cells.cast(unit).cast(pa.int64()).cast(pa.float64())) / 60e6, note="in minutes")
    if pa.types.is_null(kind):
        return _unused("empty", Cells(cells))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(cells)
    return _unused(f"holds {kind}", Cells(cells))


def _by_cells(name: str, cells: Any, dialect: Dialect, at: At, forced: str) -> Typed:
    """Return a column of text as what its cells are."""
    import pyarrow as pa

    coded = pa.types.is_dictionary(cells.type)
    if not forced and not coded and (values := plain_numbers(cells)) is not None:
        return _number(values)
    codes, words = encoded(cells)
    if not forced and coded and len(words) and (values := plain_numbers(words)) is not None:
        return _number(values[codes] if (codes >= 0).all() else _spread(values.astype(np.float64), codes))
    counts = count_each(codes, len(words))

    def refused(read: Numbers | Dates, kind: str) -> str:
        if read.doubt:
            return f"{at(0)}: {name} is ambiguous: {read.doubt}"
        return _refusal(name, kind, read.odd, codes, counts, words, at) if read.odd.any() and not forced else ""

    why = ""
    if forced in ("", "number"):
        numbers = parse_numbers(words, counts, dialect, forced=bool(forced)) if len(words) else "empty"
        if not isinstance(numbers, str):
            note = _notes(numbers.note, numbers.odd | numbers.gone, counts, words)
            refusal = _two_units(name, numbers.mixed, at) or refused(numbers, "number")
            return _number(_spread(numbers.values, codes), note=note, refusal=refusal)
        if numbers == "empty":
            return _all_missing(len(codes), forced) if forced else _unused("empty", Texts(codes, Words(words)))
        why = _why_text(name, numbers)
    if forced in ("", "date") and len(words):
        dates = parse_dates(words, counts, dialect, forced=bool(forced))
        if not isinstance(dates, str):
            form = "" if dates.format == ISO else f"as {dates.format}"  # as other kinds of files hold them
            note = _notes(form, dates.odd | dates.gone, counts, words)
            read = _date(_spread(dates.values, codes), note=note, refusal=refused(dates, "date"))
            return replace(read, dates="" if dates.format == ISO else dates.format)
        if dates == "empty" and forced:
            return _all_missing(len(codes), forced)
        clock = parse_clock(words, dialect)
        if clock is not None:
            return _number(_spread(clock[0], codes), note="in minutes")
    return Typed(field=Field(kind="text", dtype=OBJECT, note=why), values=_texts(codes, words))


def encoded(cells: Any) -> tuple[np.ndarray, Any]:
    """Return i32[n] of the number of each cell among the different ones, -1 for none, and those as an Arrow array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0) if coded.num_chunks else pa.array([], cells.type).dictionary_encode()
    indices = coded.indices.cast(pa.int32())
    codes = to_numpy(indices.fill_null(-1) if indices.null_count else indices)
    words = coded.dictionary
    empty = pc.index(words, "").as_py()
    return (np.where(codes == empty, -1, codes) if empty >= 0 else codes), words


def _texts(codes: np.ndarray, words: Any) -> Texts:
    """Return texts without blanks around them, and truth values as `false` and `true`, however they are spelled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(words)
    few = [word.lower() for word in trimmed.to_pylist()] if len(trimmed) <= 8 else []
    if few and set(few) - {""} <= {"false", "true"}:
        trimmed = pa.array(few, words.type)
    if trimmed.equals(words):
        return Texts(codes, Words(words))
    merged, different = encoded(pa.chunked_array([trimmed]))
    return Texts(_spread(merged, codes, -1), Words(different))


def _all_missing(rows: int, forced: str) -> Typed:
    """Return a column of a type that is known, in which nothing is."""
    import pyarrow as pa

    if forced in ("text", "category"):
        words = Words(pa.array([], pa.string()))
        return Typed(field=Field(kind="text", dtype=OBJECT), values=Texts(np.full(rows, -1, np.int32), words))
    return _date(np.full(rows, NEVER)) if forced == "date" else _number(np.full(rows, np.nan))


def _spread(values: np.ndarray, codes: np.ndarray, missing: Any = None) -> np.ndarray:
    """Return the value of each cell: values[codes], and what is missing where there is no cell."""
    missing = missing if missing is not None else NEVER if values.dtype.kind == "M" else np.nan
    result: np.ndarray = np.append(values, np.array([missing], values.dtype))[codes]
    return result


def _refusal(name: str, kind: str, odd: np.ndarray, codes: np.ndarray, counts: np.ndarray, words: Any, at: At) -> str:
    """Return the line that names the first cell that is none of its column's kind, and the ways out."""
    row = int(np.argmax(np.append(odd, False)[codes]))
    count, rows = int(counts[odd].sum()), len(codes)
    others = f" (and {count - 1} more of {rows})" if count > 1 else ""
    return (
        f"{at(row)}: {name} is {words[int(codes[row])].as_py()!r}{others}, no {kind} as the rest of its column; "
        f"mend it, or take it for missing with --roles={name}:{kind}, the column for text with --roles={name}:text, or "
        f"leave the column out with --drop={name}"
    )


def _why_text(name: str, why: str) -> str:
    """Return what is said of a column that is text and no numbers, with the way where it nearly is one of numbers."""
    return f"{why}; --roles={name}:number takes such for missing" if why.startswith(MAINLY) else why.replace("text", "")


def _two_units(name: str, cells: str, at: At) -> str:
    """Return the line that names two cells of different units, and the ways out; "" where there are none."""
    way = f"write all in one, or take each as what stands beside its sign with --roles={name}:number"
    ways = f"{way}, or leave the column out with --drop={name}"
    return f"{at(0)}: {name} holds {cells}, numbers of two units; {ways}" if cells else ""


def _notes(note: str, missing: np.ndarray, counts: np.ndarray, words: Any) -> str:
    """Return how a column was read: what was cleaned, and the words that stand for missing ones."""
    shown = [repr(words[int(i)].as_py()) for i in np.flatnonzero(missing & (counts > 0))[:4]]
    said = f"{counts[missing].sum()} missing as {', '.join(shown)}" if shown else ""
    return ", ".join(part for part in (note, said) if part)


def _row_numbers(values: Column) -> str:
    """Return why whole numbers are those of the rows: all that lie between the least and the most, each once."""
    if not isinstance(values, np.ndarray) or values.dtype != np.int64 or len(values) < 3:
        return ""
    least, most = int(values.min()), int(values.max())
    if most - least + 1 != len(values) or np.bincount(values - least).max() > 1:
        return ""
    return f"row numbers: each of {least} to {most} once"


def _without(values: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Return numbers of which those that stand for missing ones, as -999, are NaN."""
    gone = np.isin(values, [float(word) for word in words if PLAIN.fullmatch(word)])
    return np.where(gone, np.nan, values) if gone.any() else values


def _sentinel(name: str, values: np.ndarray) -> str:
    """Return the line that says so where the least or the most is a row of nines, far from all other values."""
    least, most = values.min(), values.max()
    if least != least:  # NaN: the slower way, which looks over what is missing
        least, most = np.fmin.reduce(values), np.fmax.reduce(values)
    for value in {float(least), float(most)} & SENTINELS:
        others = values[(values != value) & ~np.isnan(values)]
        if len(others) and np.abs(value - others).min() > 2 * (others.max() - others.min()):
            count = int((values == value).sum())
            return (
                f"{name} is {value:g} in {count} rows, far from all others ({others.min():g} to {others.max():g}): if "
                f"that stands for a missing value give --dialect=missing={value:g}, else --roles={name}:number"
            )
    return ""


def _number(values: np.ndarray, *, note: str = "", refusal: str = "") -> Typed:
    return Typed(field=Field(kind="number", dtype=values.dtype, note=note, refusal=refusal), values=values)


def _date(values: np.ndarray, *, note: str = "", refusal: str = "") -> Typed:
    return Typed(field=Field(kind="date", dtype=values.dtype, note=note, refusal=refusal), values=values)


def _unused(why: str, values: Column) -> Typed:
    return Typed(field=Field(kind="other", dtype=OBJECT, left_out=why), values=values)


def _lists(cells: Any) -> Typed:
    """Return lists of numbers, all of one length, as an array; others as what is not used."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inner, lengths = cells.type.value_type, pc.unique(pc.list_value_length(cells)).to_pylist()
    number = pa.types.is_integer(inner) or pa.types.is_floating(inner)
    if not number or cells.null_count or len(lengths) != 1 or not lengths[0]:
        some = pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_integer(inner)
        unused = _unused(f"lists of {inner}" + " of different lengths" * number, Cells(cells))
        return replace(unused, field=replace(unused.field, kind="list")) if some else unused
    flat = to_numpy(pc.list_flatten(cells)).reshape(len(cells), lengths[0])
    return Typed(field=Field(kind="array", shape=flat.shape[1:], dtype=flat.dtype), values=flat)
