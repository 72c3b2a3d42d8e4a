"""NPZ files as records: columns of arrays, one file, or one per split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fdl.data.fingerprint import fingerprint
from fdl.data.records import Column, Field, Kind, Records
from fdl.data.split import SPLITS

Columns = Mapping[str, np.ndarray]


def arrays_file(path: Path) -> Records:
    """Return the records of an NPZ file, or of a folder that holds one per split."""
    if path.is_file():
        files = {"train": path}
        tables = _splits_by_suffix(_read_npz(path))
    else:
        files = {split: path / f"{split}.npz" for split in SPLITS if (path / f"{split}.npz").is_file()}
        tables = {split: _read_npz(file) for split, file in files.items()}
    return arrays_of(tables, name=path.absolute().stem, files=files)


def arrays_of(tables: Mapping[str, Columns], *, name: str, files: Mapping[str, Path]) -> Records:
    """Return arrays by split and column as records."""
    for split, table in tables.items():
        lengths = {name: len(column) for name, column in table.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{name}: columns have {lengths} rows; all must have the same number")
        if set(table) != set(tables["train"]):
            raise ValueError(
                f"{name}: split {split!r} has columns {sorted(table)}, train has {sorted(tables['train'])}"
            )
        if not lengths or not next(iter(lengths.values())):
            raise ValueError(f"{name} holds no rows")

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        return {name: _rows(tables[split][name], indices) for name in names}

    return Records(
        name=name,
        fields={name: _guess(column) for name, column in tables["train"].items()},
        sizes={split: len(next(iter(table.values()))) for split, table in tables.items()},
        read=read,
        fingerprint=lambda: fingerprint(files.values()),
        contents=lambda: fingerprint(files.values()),
    )


def _read_npz(path: Path) -> Columns:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _splits_by_suffix(table: Columns) -> dict[str, Columns]:
    """Return `{"train": {"x": …}, "test": {"x": …}}` of arrays named x_train, x_test; else all as train."""
    tails = {split: f"_{split}" for split in SPLITS}
    splits = {
        split: {name.removesuffix(tail): column for name, column in table.items() if name.endswith(tail)}
        for split, tail in tails.items()
    }
    named = sum(map(len, splits.values()))
    return {split: part for split, part in splits.items() if part} if named == len(table) else {"train": table}


def _guess(column: np.ndarray) -> Field:
    """Return what a column of a file holds, by its dtype and rank."""
    if column.dtype.kind in "OSU":
        return Field(kind="text", dtype=np.dtype(object))
    shape = column.shape[1:]
    kind: Kind = "array" if shape else "number"
    if column.dtype == np.uint8 and len(shape) in (2, 3):
        kind, shape = "image", (*shape, 1) if len(shape) == 2 else shape
    elif column.dtype == np.uint8 and len(shape) == 4:
        kind = "video"
    elif column.dtype == np.int16 and len(shape) == 1:
        kind = "audio"
    return Field(kind=kind, shape=shape, dtype=column.dtype)


def _rows(column: np.ndarray, indices: np.ndarray) -> Column:
    rows = column[indices]
    if rows.dtype.kind in "SU":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in rows]
    return rows[..., None] if column.dtype == np.uint8 and column.ndim == 3 else rows
