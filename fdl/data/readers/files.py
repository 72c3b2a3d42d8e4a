"""Your own files as records: CSV, Parquet, NPZ, and folders of images by class.

A file is one split, to be divided; a folder may hold `train.csv`, `validation.csv` and `test.csv` (or .parquet, .npz),
or `train/CLASS/*.png` and so on.
"""

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fdl.data.fingerprint import fingerprint
from fdl.data.records import Column, Field, Kind, Records

SPLITS = ("train", "validation", "test")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
Columns = Mapping[str, Column]


def table_file(path: Path) -> Records:
    """Return the records of a CSV, TSV, Parquet or NPZ file, or of a folder that holds one per split."""
    files = (
        {"train": path} if path.is_file() else {split: found for split in SPLITS if (found := _table_in(path, split))}
    )
    if not files:
        raise ValueError(f"{path} holds no train.csv, train.parquet or train.npz; give the file itself")
    lines: dict[str, list[int]] = {}
    tables = {}
    for split, file in files.items():
        try:
            tables[split], lines[split] = READERS[file.suffix](file)
        except UnicodeDecodeError:
            raise ValueError(_not_utf8(file)) from None
    if path.is_file() and path.suffix == ".npz":
        tables = _splits_by_suffix(tables["train"])
    for split, table in tables.items():
        lengths = {name: len(column) for name, column in table.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{files.get(split, path)}: columns have {lengths} rows; all must have the same number")
        if set(table) != set(tables["train"]):
            raise ValueError(
                f"{path}: split {split!r} has columns {sorted(table)}, train has {sorted(tables['train'])}"
            )
        if not lengths or not next(iter(lengths.values())):
            raise ValueError(f"{files.get(split, path)} holds no rows")

    def where(split: str, index: int) -> str:
        file = files.get(split, path)
        return f"{file} line {lines[split][index]}" if lines.get(split) else f"{file} split {split!r} row {index}"

    return Records(
        name=path.absolute().stem,
        fields={name: _guess(column) for name, column in tables["train"].items()},
        sizes={split: len(next(iter(table.values()))) for split, table in tables.items()},
        read=lambda split, indices, names: {name: _rows(tables[split][name], indices) for name in names},
        fingerprint=lambda: fingerprint(files.values()),
        contents=lambda: fingerprint(files.values()),
        where=where,
    )


def _table_in(folder: Path, split: str) -> Path | None:
    return next((folder / (split + suffix) for suffix in READERS if (folder / (split + suffix)).is_file()), None)


def _read_csv(path: Path) -> tuple[Columns, list[int]]:
    csv.field_size_limit(2**31 - 1)  # a text may be long
    with open(path, newline="", encoding="utf-8-sig") as file:
        start = file.read(65536)
        file.seek(0)
        first = start.splitlines()[0] if start.strip() else ""
        delimiter = max(",;\t", key=first.count)
        rows = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(rows, [])]
        if not header or len(set(header)) < len(header):
            raise ValueError(f"{path} needs a first line that names each column once, has {header}")
        cells: list[list[str]] = [[] for _ in header]
        lines, last = [], rows.line_num
        for row in rows:
            begin, last = last + 1, rows.line_num  # a quoted cell may hold several lines
            if not row:
                continue
            lines.append(begin)
            if len(row) != len(header):
                raise ValueError(
                    f"{path} line {rows.line_num} has {len(row)} values for {len(header)} columns; mend the line"
                )
            for column, cell in zip(cells, row, strict=True):
                column.append(cell.strip())
    return {name: _typed(column) for name, column in zip(header, cells, strict=True)}, lines


def _not_utf8(path: Path) -> str:
    before = re.split("[\udc80-\udcff]", path.read_bytes().decode("utf-8", "surrogateescape"), maxsplit=1)[0]
    line = before.count("\n") + 1
    return f"{path} line {line} is not UTF-8; convert the file, as with: iconv -f ENCODING -t utf-8"


def _typed(cells: list[str]) -> Column:
    """Return a column of text as numbers where every value that is there is one."""
    absent = [cell.lower() in MISSING for cell in cells]
    try:
        numbers = np.array([np.nan if gone else float(cell) for cell, gone in zip(cells, absent, strict=True)])
    except ValueError:
        return [None if gone else cell for cell, gone in zip(cells, absent, strict=True)]
    whole = not any(absent) and bool(np.all(np.isfinite(numbers))) and bool(np.all(numbers == np.round(numbers)))
    return numbers.astype(np.int64) if whole and bool(np.all(np.abs(numbers) < 2**53)) else numbers


def _read_parquet(path: Path) -> tuple[Columns, list[int]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(f"{path}: Parquet needs pyarrow; run: pip install pyarrow") from error
    columns = {}
    try:
        table = parquet.read_table(path)
    except Exception as error:
        raise ValueError(f"{path} is no Parquet file or is damaged: {str(error).splitlines()[0]}") from error
    for name in table.column_names:
        values = table[name].combine_chunks()
        if not _numeric(values.type):  # asked first: words have no width, and asking for it is an error
            columns[name] = values.to_pylist()
        elif values.null_count == 0 and values.type.bit_width in (8, 16, 32, 64):
            columns[name] = values.to_numpy(zero_copy_only=False)
        else:
            columns[name] = np.array([np.nan if value is None else float(value) for value in values.to_pylist()])
    return columns, []


def _numeric(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind))


def _read_npz(path: Path) -> tuple[Columns, list[int]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}, []
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _read_lines(path: Path) -> tuple[Columns, list[int]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [number for number, line in enumerate(lines, start=1) if line.strip()]
    return {"text": [lines[number - 1] for number in kept]}, kept


# Each returns the columns and, where the file has lines, the line of each row.
READERS: Mapping[str, Callable[[Path], tuple[Columns, list[int]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
    ".txt": _read_lines,
}


def _splits_by_suffix(table: Columns) -> dict[str, Columns]:
    """Return `{"train": {"x": …}, "test": {"x": …}}` of arrays named x_train, x_test; else all as train."""
    tails = {split: f"_{split}" for split in SPLITS}
    splits = {
        split: {name.removesuffix(tail): column for name, column in table.items() if name.endswith(tail)}
        for split, tail in tails.items()
    }
    named = sum(map(len, splits.values()))
    return {split: part for split, part in splits.items() if part} if named == len(table) else {"train": table}


def _guess(column: Column) -> Field:
    """Return what a column of a file holds, by its dtype and rank."""
    if not isinstance(column, np.ndarray) or column.dtype.kind in "OSU":
        plain = isinstance(column, np.ndarray) or all(isinstance(value, str | bool | type(None)) for value in column)
        if plain:
            return Field(kind="text", dtype=np.dtype(object))
        lists = all(isinstance(value, list) for value in column)
        return Field(
            kind="array" if lists and len({len(value) for value in column}) == 1 else "other",
            shape=(len(column[0]),) if lists else (),
        )
    shape = column.shape[1:]
    kind: Kind = "array" if shape else "number"
    if column.dtype == np.uint8 and len(shape) in (2, 3):
        kind, shape = "image", (*shape, 1) if len(shape) == 2 else shape
    elif column.dtype == np.uint8 and len(shape) == 4:
        kind = "video"
    elif column.dtype == np.int16 and len(shape) == 1:
        kind = "audio"
    return Field(kind=kind, shape=shape, dtype=column.dtype)


def _rows(column: Column, indices: np.ndarray) -> Column:
    if not isinstance(column, np.ndarray):
        return [column[i] for i in indices]
    rows = column[indices]
    if rows.dtype.kind in "SU":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in rows]
    return rows[..., None] if column.dtype == np.uint8 and column.ndim == 3 else rows
