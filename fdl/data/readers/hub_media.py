"""Columns of tables that stand for pictures, sounds or videos: names of files, or the bytes themselves.

A cell is a file's name (a CSV of paths, Hugging Face's metadata.csv), `{"bytes": …, "path": …}` as the Hugging Face Hub
keeps it in Parquet, or bytes.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint, quick_fingerprint
from fdl.data.pixels import Unreadable, picture_info
from fdl.data.readers.clips import CLIPS, clip_info, clips
from fdl.data.readers.media import Item, Items, Media, asking, reading
from fdl.data.readers.pictures import picture_suffixes, pictures
from fdl.data.readers.recordings import SOUNDS, recordings, sound_info
from fdl.data.readers.splits import split_of
from fdl.data.readers.table_files import Reading, records_of, table_file
from fdl.data.readers.tables.containers import TABLES, read_raw, suffix_of
from fdl.data.readers.tables.dialect import parse_dialect
from fdl.data.records import Ask, Column, Field, Kind, Read, Records, is_missing

_NUMBERS = re.compile(r"\s*\d+(\s+\d+)+\s*")
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png", ".JPG", ".tif"),
    "audio": (".wav", ".flac", ".mp3", ".ogg"),
    "video": (".mp4", ".avi", ".gif"),
}
_LOOKED_AT = 32  # cells that tell what a column is
_COLUMNS: Mapping[Kind, Callable[[Items], Media]] = {"image": pictures, "audio": recordings, "video": clips}
_WHAT = {"image": "pictures", "audio": "sounds", "video": "videos"}
_HEADERS: Mapping[Kind, Callable[[Item], Any]] = {"image": picture_info, "audio": sound_info, "video": clip_info}


def attach(records: Records, folders: Mapping[str, Path], page: str = "", *, needed: bool = True) -> Records:
    """Return the same records in which columns that stand for pictures, sounds or videos hold those.

    folders: split -> the folder of its table, beside or below which the files are looked for.
    page:    what is wanted; only "image", "audio", "video" and "" look for columns of file names.
    needed:  refuse names of files that the page wants and that are nowhere.
    """
    for name in records.fields:
        if origin := _origin(records, name, folders, page, needed=needed):
            records = _with_media(records, name, *origin)
        elif page == "image" and (side := _side(_some(records, name))):
            records = _with_pixels(records, name, side)
    wanted = next((kind for kind in _COLUMNS if kind == page), None)
    if wanted is None or any(field.kind == wanted for field in records.fields.values()):
        return records
    return _named_by_stem(records, folders, wanted)


def new_items(records: Records, column: str, kind: str, folder: Path) -> list[tuple[str, Item]] | None:
    """Return the file or bytes of each of new rows, beside where the row is found; None where no column holds any.

    column: the one of training; where it is not there, the only one that holds pictures, sounds or videos.
    folder: beside or below which files are looked for. Raises a UserError where the column of training names others.
    """
    names = [column] if column in records.fields else list(records.fields)
    origins = {name: _origin_of(records, name, {"train": folder}, kind, needed=name == column) for name in names}
    fits = {name: get for name, get in origins.items() if get is not None}
    if len(fits) != 1:
        return None
    ((name, get),) = fits.items()
    missing = {split: is_missing(records.column(split, name)) for split in records.sizes}
    places = [(split, i) for split, size in records.sizes.items() for i in range(size)]
    return [(records.at(split, i), b"" if missing[split][i] else get(split, i)) for split, i in places]


def _origin_of(
    records: Records, name: str, folders: Mapping[str, Path], kind: str, *, needed: bool
) -> Callable[[str, int], Item] | None:
    """Return the file or bytes of each cell of a column that stands for this kind; None of another column."""
    origin = _origin(records, name, folders, kind, needed=needed)
    if origin is None:
        return _by_stems(records, name, folders, kind)
    return origin[1] if origin[0] == kind else None


def _origin(
    records: Records, name: str, folders: Mapping[str, Path], page: str, *, needed: bool
) -> tuple[Kind, Callable[[str, int], Item]] | None:
    """Return what the cells of a column stand for, and the file or bytes of each; None where they stand for nothing."""
    some = _some(records, name)
    if some and all(isinstance(value, str) for value in some) and page in ("", *_COLUMNS):
        kind = _kind_of_names(some, page)
        if kind is not None and (get := _files(records, name, folders, needed=needed and page == kind)):
            return kind, get
    elif some and all(isinstance(value, dict | bytes) for value in some) and (kind := _kind_of_bytes(some, page)):
        return kind, _contents(records, name)
    return None


def _named_by_stem(records: Records, folders: Mapping[str, Path], page: Kind) -> Records:
    """Return the records in which the first column of names without suffix, as Kaggle's ids are, is one of files."""
    for name in records.fields:
        if get := _by_stems(records, name, folders, page):
            return _with_media(records, name, page, get)
    return records


def _by_stems(records: Records, name: str, folders: Mapping[str, Path], page: str) -> Callable[[str, int], Item] | None:
    """Return the files that a column of names without suffix stands for, if it does."""
    if records.fields[name].kind not in ("text", "number"):
        return None
    some = [str(value) for value in _some(records, name)]
    if len(some) < 3 or len(set(some)) < len(some) or any("." in value or "/" in value for value in some):
        return None  # of 0 and 1, which are classes, files may be there by chance
    for place in _places(next(iter(folders.values()))):
        for suffix in _SUFFIXES.get(page, ()):
            if all(os.path.isfile(place / f"{value}{suffix}") for value in some):
                files = {
                    split: [f"{place / str(value)}{suffix}" for value in records.column(split, name)]
                    for split in records.sizes
                }
                return lambda split, index: files[split][index]
    return None


def table_beside(path: Path, how: Reading | None, page: str) -> Records | None:
    """Return the records of the one table of a folder that names its pictures, sounds or videos; None without one.

    It may lie in the folder, or be a `metadata` beside the files of each split, as Hugging Face has it.
    """
    tables = [
        file
        for file in sorted(path.iterdir())
        if file.is_file() and file.name[0] not in "._" and suffix_of(file) in TABLES
    ]
    if len(tables) == 1:
        try:
            records = attach(table_file(tables[0], how), {"train": path}, page, needed=False)
        except ValueError:
            if sum(entry.is_dir() and entry.name[0] not in "._" for entry in path.iterdir()) > 1:
                return None  # folders of classes, with some other table beside them
            raise
        return records if any(field.kind == page for field in records.fields.values()) else None
    files = {
        split: file
        for folder in sorted(path.iterdir())
        if folder.is_dir() and (split := split_of(folder.name))
        for file in sorted(folder.glob("metadata.*"))
        if suffix_of(file) in TABLES
    }
    if "train" not in files:
        return None
    how = how or Reading()
    parts = {split: [(file, read_raw(file, parse_dialect(how.dialect)))] for split, file in files.items()}
    records = records_of(parts, how, name=path.absolute().name, contents=lambda: fingerprint(list(files.values())))
    return attach(records, {split: file.parent for split, file in files.items()}, page)


def _with_media(records: Records, name: str, kind: Kind, get: Callable[[str, int], Item]) -> Records:
    items = Items(what=_WHAT[kind], sizes=records.sizes, get=get, at=records.at)
    media = _COLUMNS[kind](items)
    values = reading(items, media.decode)

    def reading_with(read: Read, values: Callable[[str, np.ndarray], Column]) -> Read:
        def read_media(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            others = [other for other in names if other != name]
            columns = read(split, indices, others) if others else {}
            return {other: values(split, indices) if other == name else columns[other] for other in names}

        return read_media

    def in_subprocess(ask: Ask) -> Read:
        return reading_with(records.read, asking(ask, items, media))

    by_files = isinstance(get(next(iter(records.sizes)), 0), str)

    def files() -> list[Path]:
        return [Path(str(get(split, i))) for split, i in items.places()] if by_files else []

    whole = cache(lambda: fingerprint(files()))
    return replace(
        records,
        fields={**records.fields, name: media.field},
        read=reading_with(records.read, values),
        in_subprocess=in_subprocess if by_files and kind == "image" else None,
        fingerprint=lambda: f"{records.fingerprint()} {whole()}",
        contents=lambda: f"{records.contents()} {quick_fingerprint(files(), whole)}",
        stratified=True,
        notes=(*records.notes, *(f"{name}: {note}" for note in media.notes)),
    )


def _with_pixels(records: Records, name: str, side: int) -> Records:
    """Return the records in which texts of side x side whole numbers, as FER-2013's are, hold gray pictures."""

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        columns = records.read(split, indices, names)
        if name not in names:
            return columns
        rows = [np.array(str(cell).split(), np.float64) for cell in columns[name]]
        for row, index in zip(rows, indices, strict=True):
            if len(row) != side * side or row.min() < 0 or row.max() > 255:
                raise UserError(
                    f"{records.at(split, index)}: {name} holds {len(row)} numbers from {row.min():g} to {row.max():g}, "
                    f"no {side * side} from 0 to 255 as the first do; mend that cell"
                )
        return {**columns, name: np.stack(rows).astype(np.uint8).reshape(-1, side, side, 1)}

    field = Field(kind="image", shape=(side, side, 1), dtype=np.dtype(np.uint8))
    note = f"{name}: {side * side:,} numbers a cell are a gray picture of {side} x {side}"
    return replace(records, fields={**records.fields, name: field}, read=read, stratified=True).noting(note)


def _side(cells: Sequence[Any]) -> int:
    """Return the side of the squares that the numbers of these cells make; 0 where they are none."""
    if not cells or not all(isinstance(cell, str) for cell in cells):
        return 0
    counts = {len(cell.split()) if _NUMBERS.fullmatch(cell) else 0 for cell in cells}
    side = math.isqrt(min(counts))
    return side if len(counts) == 1 and side > 1 and side * side in counts else 0


def _some(records: Records, name: str) -> list[Any]:
    """Return the cells among the first ones of a column that are not empty."""
    split = next(iter(records.sizes))
    cells = records.read(split, np.arange(min(_LOOKED_AT, records.sizes[split])), (name,))[name]
    return [value for value in cells if value is not None and not (isinstance(value, str) and not value)]


def _kind_of_names(names: Sequence[str], page: str) -> Kind | None:
    """Return what files with these names hold, by their suffixes; what the page wants where several fit."""
    suffixes = {os.path.splitext(name)[1].lower() for name in names}
    of_kind: dict[Kind, Any] = {"image": picture_suffixes(), "audio": SOUNDS, "video": CLIPS}
    fits = [kind for kind, known in of_kind.items() if suffixes <= known]
    return next((kind for kind in fits if kind == page), fits[0] if fits else None)


def _kind_of_bytes(cells: Sequence[Any], page: str) -> Kind | None:
    if isinstance(cells[0], dict) and not {"bytes", "path"} >= cells[0].keys():
        return None
    if (kind := _kind_of_names([cell["path"] or "" for cell in cells], page)) if isinstance(cells[0], dict) else None:
        return kind
    item = cells[0].get("bytes") if isinstance(cells[0], dict) else cells[0]
    for kind, header in _HEADERS.items():
        try:
            if item:
                header(item)
                return kind
        except Unreadable:
            continue
    return None


def _contents(records: Records, name: str) -> Callable[[str, int], Item]:
    def get(split: str, index: int) -> Item:
        cell = records.read(split, np.array([index]), (name,))[name][0]
        if isinstance(cell, dict):
            cell = cell.get("bytes") or cell.get("path")
        return cell or b""

    return get


def _files(
    records: Records, name: str, folders: Mapping[str, Path], *, needed: bool
) -> Callable[[str, int], Item] | None:
    """Return the files that a column names; None, or a ValueError where it is `needed`, if some are nowhere."""
    found: dict[str, list[str]] = {}
    for split in records.sizes:
        names = [str(value).replace("\\", "/") for value in records.column(split, name)]
        folder = folders.get(split) or next(iter(folders.values()))
        places = [place for place in _places(folder) if os.path.isfile(place / names[0])]
        if not places:
            if needed:
                raise UserError(
                    f"{records.at(split, 0)}: {name} is {names[0]!r}, and no such file is in {folder}, beside it or in "
                    "a folder of either; put the files there or mend the names"
                )
            return None
        found[split] = [str(places[0] / value) for value in names]
    return lambda split, index: found[split][index]


def _places(folder: Path) -> list[Path]:
    """Return where files that a table names may lie: beside it, in folders beside it, one floor up and beside that."""
    above = folder.absolute().parent
    below = [
        [Path(entry.path) for entry in sorted(os.scandir(each), key=lambda e: e.name) if entry.is_dir()]
        for each in (folder, above)
    ]
    return [folder, *below[0], above, *below[1]]
