"""Tables as records: one file, a file per split, or shards; every column typed once over all splits together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import SPLITS
from fdl.data.fingerprint import fingerprint
from fdl.data.readers.splits import is_shard, split_of
from fdl.data.readers.stand_ins import refuse_page, refuse_pointer
from fdl.data.readers.tables.column_types import TYPES, Typed, as_text, type_column, type_json
from fdl.data.readers.tables.containers import TABLES, read_raw, suffix_of
from fdl.data.readers.tables.dialect import Dialect, parse_dialect
from fdl.data.readers.tables.parquet_shards import is_large, shard_records
from fdl.data.readers.tables.raw_table import RawTable
from fdl.data.readers.tables.total_row import total_row
from fdl.data.records import Column, Field, Records


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are to be read, as far as it is not inferred from them.

    dialect: of text tables, see `parse_dialect`. roles: `column -> type` of `TYPES`. drop: columns that are not there.
    schema:  `Records.schema` of the files that new ones are to be read like; columns that lack in them are no error.
    """

    dialect: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the fields of the dialect that are not inferred: numbers and dates are written as they were."""
        kept = {name: self.schema["dialect"][name] for name in ("decimal", "missing")} if self.schema else {}
        return {**kept, **parse_dialect(self.dialect)}

    def forced(self, column: str) -> tuple[str, str]:
        """Return the type of a column that is not inferred, and the format of its dates; "" each where it is."""
        kept = self.schema["types"].get(column, {}) if self.schema else {}
        return self.roles.get(column) or kept.get("type", ""), kept.get("dates", "")


def reading(dialect: str = "", roles: Sequence[str] = (), drop: Sequence[str] = ()) -> Reading:
    """Return how to read, as the flags say it: roles are `column:type`."""
    parse_dialect(dialect)
    given = {}
    for role in roles:
        name, colon, kind = role.rpartition(":")
        if not colon or kind not in TYPES:
            raise UserError(f"--roles has {role!r}; give COLUMN:TYPE with a type of {', '.join(TYPES)}")
        given[name] = kind
    return Reading(dialect=dialect, roles=given, drop=tuple(drop))


def table_file(path: Path, how: Reading | None = None) -> Records:
    """Return the records of a table: a file of a kind in `TABLES`, or a folder that holds one per split or shards."""
    how = how or Reading()
    files, skipped = ({"train": [path]}, "") if path.is_file() else table_files(path)
    name = path.absolute().name.split(".")[0] or path.name
    for file in [file for part in files.values() for file in part]:
        refuse_pointer(file)
        refuse_page(file)
    if is_large(files) and not how.schema:
        notes = tuple(filter(None, (skipped, _dropped(how))))
        return shard_records(files, name=name, forced=how.roles, drop=how.drop, notes=notes)
    given = how.given()
    alone = sum(map(len, files.values())) == 1  # several files may disagree about a column: its cells are needed then

    def quick(name: str) -> bool:
        return alone and how.forced(name) == ("", "")

    parts = {split: [(file, read_raw(file, given, quick)) for file in names] for split, names in files.items()}
    return records_of(
        parts,
        how,
        name=name,
        contents=lambda: fingerprint(file for names in files.values() for file in names),
        skipped=skipped,
        retyped=lambda roles: table_file(path, replace(how, roles={**how.roles, **roles})),
    )


def table_files(folder: Path) -> tuple[dict[str, list[Path]], str]:
    """Return the tables of a folder by split, and which files of it are none of them."""
    listed = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name[0] not in "._"]
    tables = [file for file in listed if suffix_of(file) in TABLES]
    found: dict[str, list[Path]] = {}
    for file in tables:
        split = split_of(file.name.split(".")[0])
        if split:
            found.setdefault(split, []).append(file)
    if not found and tables and all(is_shard(file.name.split(".")[0]) for file in tables):
        found = {"train": tables}
    for split, files in found.items():
        if len(files) > 1 and not all(is_shard(file.name.split(".")[0]) for file in files):
            shown = ", ".join(file.name for file in files)
            raise UserError(f"{folder} has several tables for split {split!r}: {shown}; keep one, or give the file")
    others = [file.name for file in listed if file not in [kept for files in found.values() for kept in files]]
    shown = ", ".join(others[:4]) + ", …" * (len(others) > 4)
    return {split: found[split] for split in SPLITS if split in found}, f"not read: {shown}" if others else ""


def records_of(
    parts: Mapping[str, Sequence[tuple[Path, RawTable]]],
    how: Reading,
    *,
    name: str,
    contents: Callable[[], str],
    skipped: str = "",
    retyped: Callable[[Mapping[str, str]], Records] | None = None,
) -> Records:
    """Return raw tables, some for each split, as records with one type per column."""
    tables = [(split, file, raw) for split, files in parts.items() for file, raw in files]
    sizes = {split: sum(raw.rows for _, raw in files) for split, files in parts.items()}
    _same_columns([(file, raw) for _, file, raw in tables], how, name)
    starts = np.cumsum([0, *(raw.rows for _, _, raw in tables)])

    def at(row: int) -> str:
        place = int(np.searchsorted(starts, row, side="right")) - 1
        split, file, raw = tables[place]
        inside = int(row - starts[place])
        if raw.line_of:
            return f"{file} line {raw.line_of(inside)}"
        return f"{file} row {inside}" if len(tables) > len(sizes) else f"{file} split {split!r} row {inside}"

    dialect = next((raw.dialect for _, _, raw in tables if raw.dialect), Dialect())
    typed: dict[str, Typed] = {}
    for column in [column for column in tables[0][2].columns if column not in how.drop]:
        cells = _joined([raw.columns.pop(column) for _, _, raw in tables])
        forced, dates = how.forced(column)
        made = type_column(column, cells, replace(dialect, dates=dates or dialect.dates), at, forced)
        typed[column] = _labelled(made, column, tables)
    if not how.schema:
        for first, end in pairwise(starts):
            if found := total_row({column: what.values[first:end] for column, what in typed.items()}):
                raise UserError(f"{at(int(end) - 1)}: {found}; it is the sum of the rows above: remove the line")
    begins = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        rows = np.asarray(indices) + begins[split]
        return {column: typed[column].values[rows] for column in names}

    return Records(
        name=name,
        fields={column: what.field for column, what in typed.items()},
        sizes=sizes,
        read=read,
        fingerprint=contents,
        contents=contents,
        where=lambda split, index: at(int(index + begins[split])),
        notes=_notes(tables, skipped, how),
        schema={"dialect": dialect.as_json(), "types": {column: type_json(what) for column, what in typed.items()}},
        advice=_advice(tables),
        retyped=retyped,
    )


def _same_columns(files: Sequence[tuple[Path, RawTable]], how: Reading, name: str) -> None:
    """Raise a ValueError where files have other columns than the first, or none of the requested name."""
    first = [name for name in files[0][1].columns if name not in how.drop]
    for column, role in ((name, role) for names, role in ((how.drop, "drop"), (how.roles, "roles")) for name in names):
        if column not in files[0][1].columns:
            raise UserError(f"{name} has no column {column!r} for --{role}; its columns are {', '.join(first)}")
    for file, raw in files[1:]:
        names = [name for name in raw.columns if name not in how.drop]
        lacking, more = [n for n in first if n not in names], [n for n in names if n not in first]
        if lacking or more:
            what = f"lacks {', '.join(lacking[:4])}" if lacking else f"has {', '.join(more[:4])} besides"
            raise UserError(
                f"{file} {what}, where {files[0][0].name} has {', '.join(first[:8])}; give all the same columns, or "
                "one of the files as --dataset"
            )
    if not first or not any(raw.rows for _, raw in files):
        raise UserError(f"{files[0][0]} holds no rows; give it some")


def _joined(parts: Sequence[Any]) -> Any:
    """Return one Arrow chunked array of several, which may differ in type: what mixes becomes text."""
    import pyarrow as pa

    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    if len(kinds) > 1:
        numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        parts = [_as_number(part) if numbers else as_text(part) for part in parts]
    elif kinds:
        parts = [part.cast(next(iter(kinds))) for part in parts]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


def _as_number(part: Any) -> Any:
    import pyarrow as pa

    return part.cast(pa.float64(), safe=False)


def _labelled(typed: Typed, name: str, tables: Sequence[tuple[str, Path, RawTable]]) -> Typed:
    """Return a column of whole numbers as labels, where the file names their classes."""
    names = tables[0][2].labels.get(name)
    values = typed.values
    if not names or not isinstance(values, np.ndarray) or values.dtype != np.int64:
        return typed
    named = Field(kind="label", dtype=np.dtype(np.int32), classes=len(names), names=names)
    return Typed(field=named, values=values)


def _notes(tables: Sequence[tuple[str, Path, RawTable]], skipped: str, how: Reading) -> tuple[str, ...]:
    said = [f"{file.name}: {'; '.join(raw.notes)}" for _, file, raw in tables if raw.notes]
    if len(said) > 4:
        said = [*said[:3], f"and {len(said) - 3} files more"]
    return tuple(filter(None, (*said, skipped, _dropped(how))))


def _dropped(how: Reading) -> str:
    return f"dropped by --drop: {', '.join(how.drop)}" if how.drop else ""


def _advice(tables: Sequence[tuple[str, Path, RawTable]]) -> str:
    if suffix_of(tables[0][1]) in (".xlsx", ".xls"):
        return "if the names stand below other lines, give how many as --dialect=skip=2"
    dialect = tables[0][2].dialect
    if dialect is None or not dialect.header:
        return ""
    way = "; what divides the cells as --dialect=delimiter=X" * (len(dialect.columns) == 1)
    return (
        "if the first line does not name the columns, give --dialect=header=no, the names as --dialect=header=a,b,…, "
        f"or the number of lines above them as --dialect=skip=1{way}"
    )
