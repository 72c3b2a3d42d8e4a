"""Parquet that is larger than a run should hold: typed a column at a time, kept as rows on disk, read by row."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint, quick_fingerprint
from fdl.data.readers.tables.cells import Texts, Words
from fdl.data.readers.tables.column_types import SENTINELS, Typed, as_text, type_column, type_json
from fdl.data.readers.tables.dates import is_compact
from fdl.data.readers.tables.dialect import Dialect, column_name
from fdl.data.readers.tables.row_store import RowStore, release_memory, store_rows
from fdl.data.records import Column, Field, Records

HELD = 2**28  # bytes of decoded Parquet that are held in memory
_BATCH = 65_536  # rows that are converted together
Files = Mapping[str, Sequence[Path]]


def is_large(files: Files) -> bool:
    """Say whether these are Parquet files of numbers, dates and texts, alike, that decode to more than `HELD`."""
    paths = [path for part in files.values() for path in part]
    if not paths or any(path.suffix.lower() not in (".parquet", ".pq") for path in paths):
        return False
    if sum(path.stat().st_size for path in paths) < HELD // 16:  # no file decodes to more than that many times its size
        return False
    import pyarrow as pa
    from pyarrow import parquet

    try:
        known = [parquet.read_metadata(path) for path in paths]
        schemas = {parquet.read_schema(path).remove_metadata() for path in paths}
    except (pa.ArrowException, OSError):
        return False  # damaged: the usual way says so
    plain = len(schemas) == 1 and all(_is_plain(kind) for kind in next(iter(schemas)).types)
    plain = plain and all(column_name(name) == name for name in next(iter(schemas)).names)
    return plain and sum(each.row_group(i).total_byte_size for each in known for i in range(each.num_row_groups)) > HELD


def shard_records(
    files: Files, *, name: str, forced: Mapping[str, str], drop: Sequence[str], notes: Sequence[str]
) -> Records:
    """Return the records of large Parquet files: nothing of a column is held but its different texts.

    forced: the types of columns that are not inferred. drop: columns that are not there.
    """
    from pyarrow import parquet

    paths = [path for part in files.values() for path in part]
    counts = [parquet.read_metadata(path).num_rows for path in paths]
    starts = np.cumsum([0, *counts])
    splits = [split for split, part in files.items() for _ in part]
    sizes = {split: sum(rows for rows, of in zip(counts, splits, strict=True) if of == split) for split in files}
    begins = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def at(row: int) -> str:
        place = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{paths[place]} row {row - starts[place]}"

    typed = {}
    for column in [column for column in _schema(paths[0]).names if column not in drop]:
        kind = None if column in forced else _by_statistics(paths, column, int(starts[-1]))
        found = kind or type_column(column, _column(paths, column), Dialect(), at, forced.get(column, ""))
        if isinstance(found.values, Texts):  # the rows keep their numbers
            found = replace(found, values=Texts(np.zeros(0, np.int32), found.values.words))
        typed[column] = found
    release_memory()
    store: list[RowStore] = []

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        if not store:
            store.append(_row_store(paths, typed, key=f"{sorted(forced.items())}"))
        return store[0].read(np.asarray(indices) + begins[split], names)

    mib = sum(path.stat().st_size for path in paths) / 2**20
    size = f"{starts[-1]:,} rows in {len(paths)} files of {mib:,.0f} MiB are read from disk on demand"
    return Records(
        name=name,
        fields={column: what.field for column, what in typed.items()},
        sizes=sizes,
        read=read,
        fingerprint=lambda: fingerprint(paths),
        contents=lambda: quick_fingerprint(paths),
        where=lambda split, index: at(int(index + begins[split])),
        notes=(size, *notes),
        schema={"dialect": Dialect().as_json(), "types": {column: type_json(what) for column, what in typed.items()}},
        on_disk=True,
    )


def _row_store(paths: Sequence[Path], typed: Mapping[str, Typed], key: str) -> RowStore:
    """Return the rows of all files, one after another, of the columns that can be learned from.

    key: what besides the files decides what the rows hold.
    """
    words = {name: what.values.words for name, what in typed.items() if isinstance(what.values, Texts)}
    kept = {name: what for name, what in typed.items() if what.field.kind in ("number", "date", "text")}
    dtype = np.dtype(
        [(name, _code(words[name]) if name in words else what.field.dtype.str) for name, what in kept.items()]
    )
    values_by_name = {
        name: np.asarray(what.values) for name, what in kept.items() if name not in words and what.by_cells
    }

    def batches() -> Iterator[Mapping[str, np.ndarray]]:
        begun = 0
        for batch in _batches(paths, list(kept)):
            rows = slice(begun, begun + batch.num_rows)
            yield {name: _values(batch.column(name), name, rows, words, values_by_name) for name in kept}
            begun = rows.stop

    written = [path.stat().st_mtime_ns for path in paths]  # of a large file that was replaced the size may stay
    content = f"{quick_fingerprint(paths)} {written} {dtype.descr} {key} 1"
    seen = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    folder = cache_folder()
    if folder is None:
        raise UserError(
            f"{paths[0]} is too large to be held in memory, and nothing can be kept; give $FDL_CACHE a folder with room"
        )
    store = store_rows(folder / f"{seen}.rows", dtype, words, batches)
    release_memory()
    return store


def _values(
    cells: Any, name: str, rows: slice, words: Mapping[str, Words], values_by_name: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return a batch of a column as it is kept."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in values_by_name:
        return values_by_name[name][rows]
    if name in words:
        text = pc.utf8_trim_whitespace(as_text(cells))
        known = words[name].arrow
        text = pc.utf8_lower(text) if len(known) < 3 and set(known.to_pylist()) <= {"false", "true"} else text
        codes = pc.index_in(text.cast(known.type), value_set=known)
        return np.asarray(pc.fill_null(codes, -1))
    return np.asarray(type_column(name, pa.chunked_array([cells]), Dialect(), str).values)


def _code(words: Words) -> str:
    """Return the least dtype that numbers these texts, and has -1 for none."""
    return next(f"<i{size}" for size in (1, 2, 4) if len(words) < 2 ** (8 * size - 1))


def _by_statistics(paths: Sequence[Path], name: str, rows: int) -> Typed | None:
    """Return the type of a column of numbers by what the files say of it, None where its values must be looked at."""
    import pyarrow as pa
    from pyarrow import parquet

    kind = _schema(paths[0]).field(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or kind == pa.uint64():
        return None
    least, most, missing = [], [], 0
    for path in paths:
        known = parquet.read_metadata(path)
        place = known.schema.to_arrow_schema().get_field_index(name)
        for group in range(known.num_row_groups):
            seen = known.row_group(group).column(place).statistics
            if seen is None or not seen.has_min_max or not seen.has_null_count:
                return None
            least.append(seen.min)
            most.append(seen.max)
            missing += seen.null_count
    first, last = min(least), max(most)
    if {float(first), float(last)} & SENTINELS or last - first + 1 == rows or is_compact(first, last):
        return None
    whole = pa.types.is_integer(kind) and not missing
    return _number(whole)


def _number(whole: bool) -> Typed:
    dtype = np.dtype(np.int64 if whole else np.float64)
    return Typed(field=Field(kind="number", dtype=dtype), values=np.zeros(0, dtype))


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _schema(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_schema(path)


def _column(paths: Sequence[Path], name: str) -> Any:
    """Return one column of all files."""
    import pyarrow as pa
    from pyarrow import parquet

    coded = [name] if pa.types.is_string(_schema(paths[0]).field(name).type) else None
    parts = [parquet.read_table(path, columns=[name], read_dictionary=coded).column(0) for path in paths]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


def _batches(paths: Sequence[Path], names: list[str]) -> Iterator[Any]:
    from pyarrow import parquet

    for path in paths:
        # Buffered: else each column of a row group is read whole, and a row group may be the whole file.
        with parquet.ParquetFile(path, buffer_size=2**20) as file:
            yield from file.iter_batches(_BATCH, columns=names)
