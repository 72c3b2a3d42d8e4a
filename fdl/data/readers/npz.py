"""Arrays by name, of .npz and .mat files or from memory, as records: which are columns, and what they hold.

Shape legend: n rows.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint
from fdl.data.readers.array_layout import CHANNELS, Layout, layout
from fdl.data.readers.splits import split_of
from fdl.data.records import Column, Field, Records

ARRAY_FILES = (".npz", ".npy", ".mat")
_RATES = frozenset({"rate", "sample_rate", "samplerate", "sampling_rate", "sr", "fs"})
_CLASS_NAMES = frozenset({"classes", "class_names", "label_names", "target_names"})
_WAY = "save the arrays by name, as with numpy.savez(file, x=inputs, y=targets)"
Arrays = Mapping[str, np.ndarray]


def array_files(name: str, files: Mapping[str, Path], page: str = "") -> Records:
    """Return the records of .npz or .mat files, one per split, or one of all splits as train.

    page: what is wanted of them, as `layout` takes it.
    """
    arrays = {split: _load(path) for split, path in files.items()}
    whole = {
        f"{key}_{split}" if len(files) > 1 and array.ndim and key.lower() not in _CLASS_NAMES else key: array
        for split, table in arrays.items()
        for key, array in table.items()
    }
    where = str(next(iter(files.values())) if len(files) == 1 else next(iter(files.values())).parent)
    return array_records(name, whole, page=page, digest=partial(fingerprint, list(files.values())), where=where)


def array_records(
    name: str, arrays: Arrays, *, page: str = "", digest: Callable[[], str] = lambda: "", where: str = ""
) -> Records:
    """Return the records of arrays by name: rows of one number, in splits where all names say one.

    Names as in x_train and y_test, or train_images and val_labels, put rows in splits. A scalar of samples per second
    is the rate of the sounds; a list of class names belongs to the one column of whole numbers that it fits.
    """
    where, notes = where or name, []
    rates = {key: int(array) for key, array in arrays.items() if array.ndim == 0 and key.lower() in _RATES}
    named = {key: array for key, array in arrays.items() if key.lower() in _CLASS_NAMES and array.dtype.kind in "SU"}
    tables = _in_splits({key: array for key, array in arrays.items() if array.ndim and key not in named})
    notes += [f"{key} is {rate:,} samples a second" for key, rate in rates.items()]
    if scalars := [key for key, array in arrays.items() if not array.ndim and key not in rates]:
        notes.append(f"left out, one value for all rows: {', '.join(scalars)}")
    tables = {split: _equal_rows(table, f"{where} split {split!r}", notes) for split, table in tables.items()}
    if not tables:
        raise UserError(f"{where} holds no arrays with rows; {_WAY}")
    first = next(iter(tables.values()))
    for split, table in tables.items():
        shapes = {key: array.shape[1:] for key, array in table.items()}
        if shapes != {key: array.shape[1:] for key, array in first.items()}:
            raise UserError(
                f"{where}: split {split!r} has {shapes}, unlike the others; give all splits the same arrays"
            )
    layouts = {key: _layout(key, [table[key] for table in tables.values()], page) for key in first}
    notes += [f"{key}: {found.note}" for key, found in layouts.items() if found.note]
    if page in ("image", "video", "audio") and not any(found.field.kind == page for found in layouts.values()):
        raise UserError(f"{where} holds no {page}: {_listed(first)}; {_ways(page)}")
    fields = {key: found.field for key, found in layouts.items()}
    if rates:
        (rate, *_) = rates.values()
        fields = {key: replace(f, rate=rate) if f.kind == "audio" else f for key, f in fields.items()}
    fields, said = _with_names(fields, tables, named)

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        return {key: _values(layouts[key], tables[split][key][indices]) for key in names}

    return Records(
        name=name,
        fields=fields,
        sizes={split: len(next(iter(table.values()))) for split, table in tables.items()},
        read=read,
        fingerprint=digest,
        contents=digest,
        where=lambda split, index: f"{where} split {split!r} row {index}",
        stratified=True,
        notes=tuple(dict.fromkeys((*notes, *said))),
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npy":
        raise UserError(f"{path} holds one array without a name, so nothing to predict; {_WAY}")
    try:
        if path.suffix == ".mat":
            from scipy.io import loadmat

            return {key: array for key, array in loadmat(path).items() if not key.startswith("__")}
        if not zipfile.is_zipfile(path):
            raise UserError("it is no zip of arrays")
        with np.load(path, allow_pickle=False) as file:
            return dict(part for key in file.files for part in _opened(key, file[key]))
    except NotImplementedError:
        raise UserError(f"{path} is of MATLAB 7.3, which is HDF5; save it with -v7, or as .npz") from None
    except Exception as error:  # what a damaged zip, header or array raises is anything
        said = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in said:
            raise UserError(
                f"{path} holds Python objects (arrays of several lengths?), which only code can read; save arrays "
                "of numbers of one length, or a folder with a file for each example"
            ) from None
        raise UserError(f"{path} cannot be read: {said}; save it again") from error


def _opened(key: str, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return an array by name, or in its place each field of a structured one as `name.field`."""
    return [(f"{key}.{field}", array[field]) for field in array.dtype.names] if array.dtype.names else [(key, array)]


def _in_splits(arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """Return `{"train": {"x": …}, "test": {"x": …}}` of x_train, x_test or train_x, test_x; else all as train."""
    tables: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        parts = name.split("_")
        if len(parts) > 1 and (split := split_of(parts[-1])):
            tables.setdefault(split, {})["_".join(parts[:-1])] = array
        elif len(parts) > 1 and (split := split_of(parts[0])):
            tables.setdefault(split, {})["_".join(parts[1:])] = array
        else:
            return {"train": dict(arrays)} if arrays else {}
    return tables


def _equal_rows(table: Arrays, where: str, notes: list[str]) -> dict[str, np.ndarray]:
    """Return the same arrays with the rows first, [n, 1] as [n]; raise where they are not of one number."""
    table = dict(table)
    counts = {name: len(array) for name, array in table.items()}
    for name, array in table.items():
        others = [count for other, count in counts.items() if other != name]
        if array.ndim == 4 and array.shape[2] in CHANNELS and len(array) not in others and array.shape[3] in others:
            table[name] = np.moveaxis(array, 3, 0)
            notes.append(f"{name}: {list(array.shape)}, examples last, is turned to examples first")
        elif array.ndim == 2 and array.shape[1] == 1:
            table[name] = array[:, 0]
    counts = {name: len(array) for name, array in table.items()}
    if len(set(counts.values())) > 1:
        raise UserError(
            f"{where}: arrays have {counts} rows; all must have the same number: leave the others out of the file"
        )
    if not counts or not next(iter(counts.values())):
        raise UserError(f"{where} holds no rows; {_WAY}")
    return table


def _layout(name: str, arrays: Sequence[np.ndarray], page: str) -> Layout:
    first = arrays[0]
    if first.dtype.kind == "b" and first.ndim > 1:
        inner = layout(first.shape[1:], np.dtype(np.uint8), page)
        note = "; ".join(filter(None, ("booleans are 0 and 255", inner.note)))
        return replace(inner, rows=lambda rows: inner.rows(rows.astype(np.uint8) * np.uint8(255)), note=note)
    if first.dtype.kind in "SUb":
        return Layout(field=Field(kind="text", dtype=np.dtype(object)))
    if first.dtype.kind == "M" and first.ndim == 1:
        date = np.dtype("datetime64[us]")
        return Layout(field=Field(kind="date", dtype=date), rows=lambda rows: rows.astype(date))
    if first.dtype.kind not in "iuf":
        return Layout(field=Field(kind="other", shape=first.shape[1:], dtype=first.dtype))

    def span() -> tuple[float, float]:
        return min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)

    return layout(first.shape[1:], first.dtype, page, span)


def _values(found: Layout, rows: np.ndarray) -> Column:
    if rows.dtype.kind in "SU":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in rows]
    if rows.dtype.kind == "b" and rows.ndim == 1:
        return ["true" if value else "false" for value in rows]
    return found.rows(rows)


def _with_names(
    fields: dict[str, Field], tables: Mapping[str, Arrays], named: Arrays
) -> tuple[dict[str, Field], list[str]]:
    """Return the fields in which class names stand at the one column of whole numbers that they fit."""
    notes = []
    for key, names in named.items():
        fits = [
            name
            for name, field in fields.items()
            if field.kind == "number"
            and field.dtype.kind in "iu"
            and all(table[name].min() >= 0 and table[name].max() < len(names) for table in tables.values())
        ]
        if len(fits) == 1:
            texts = tuple(value.decode() if isinstance(value, bytes) else str(value) for value in names.ravel())
            label = Field(kind="label", dtype=np.dtype(np.int32), classes=len(texts), names=texts)
            fields = {**fields, fits[0]: label}
            notes.append(f"{key} names the classes of {fits[0]}")
        else:
            notes.append(f"left out, the names of no one column: {key}")
    return fields, notes


def _listed(table: Arrays) -> str:
    return ", ".join(f"{name} of {array.dtype}{list(array.shape)}" for name, array in table.items())


def _ways(page: str) -> str:
    return {
        "image": "pictures are [n, H, W] or [n, H, W, C] of bytes, whole numbers up to 255 or floats; C is 1, 3 or 4",
        "video": "videos are [n, T, H, W] or [n, T, H, W, C] of bytes; C is 1, 3 or 4",
        "audio": "sounds are [n, T], of 100 samples or more",
    }[page] + "; turn the array, or give another --experiment"
