"""New data as a model reads it, with what is carried beside; and how new rows are read, of tables and of series."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.log import by_address
from fdl.core.types import PyTree
from fdl.data.dataset import Dataset, Places
from fdl.data.readers.clips import CLIPS
from fdl.data.readers.find import copied, find
from fdl.data.readers.memory import as_records
from fdl.data.readers.pictures import picture_suffixes
from fdl.data.readers.recordings import SOUNDS
from fdl.data.readers.table_files import Reading
from fdl.data.records import Column, Kind, Records

_LISTED = 5  # names in one message


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """New examples. inputs: pytree [n, ...], as a source of the dataset gives them. size: n.

    carried: columns that are of the data and not of the model, such as an Id: name -> n values.
    notes:   what was missing or never seen in training, a line each. lengths: i32[n], words of each sentence.
    places:  of windows of a series, what they forecast; nothing else is carried then.
    """

    inputs: PyTree
    size: int
    lengths: np.ndarray | None = None
    carried: Mapping[str, Column] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    places: Places | None = None


def rows_at(address: str, read: Callable[[str], NewRows]) -> NewRows:
    """Return new rows of what lies at an address, read from its local copy; its files are called by their addresses."""
    copy = copied(address)
    rows = read(str(copy.path))
    files = {name: [by_address(file) for file in rows.carried[name]] for name in ("file",) if name in rows.carried}
    return replace(rows, notes=(copy.note, *rows.notes), carried={**rows.carried, **files})


def read_rows(data: Any, schema: Mapping[str, Any], kind: str) -> Records:
    """Return new rows as records: a table's file, rows or columns as mappings, a DataFrame or an Arrow table.

    schema: as the rows of training were read. kind: as `find` takes it, of a file.
    """
    if isinstance(data, str | Path):
        path = Path(os.path.expanduser(data))
        if not path.exists():
            raise UserError(f"there is no {data}; give a file with the columns that the run was trained on")
        if path.suffix.lower() in SOUNDS | CLIPS | picture_suffixes():
            raise UserError(f"{data} is no table, and the run was trained on the columns of one; give such a file")
        return find(str(data), how=Reading(schema=schema), kind=kind)
    if isinstance(data, Mapping) or (isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data)):
        import pandas

        data = pandas.DataFrame(data)
    return as_records(data, schema=schema, name="the data")


def refuse_lacking(records: Records, dataset: Dataset, used: Sequence[str]) -> None:
    """Raise a UserError where a column that was trained on is not there."""
    if lacking := [name for name in used if name not in records.fields]:
        raise UserError(
            f"{records.name} lacks {some_of(lacking)}, which {dataset.name} was trained on; its columns are "
            f"{some_of(list(records.fields))}"
        )


def trained_column(records: Records, column: str, kind: Kind) -> tuple[str, ...]:
    """Return the column that was trained on, or else the only one of its kind, and a line that says which it is."""
    if column in records.fields:
        return (records.choose(column, "inputs", (kind,)),)
    chosen = records.choose("", "inputs", (kind,))
    return (chosen, other_column(records, column, chosen)) if column else (chosen,)


def other_column(records: Records, column: str, chosen: str) -> str:
    """Return the line that says what is read where the column of training is not there."""
    return f"{records.name} has no column {column}, which was trained on: the one {chosen} is read"


def some_of(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many there are, in words."""
    return ", ".join(names[:_LISTED]) + (f", … ({len(names)} in all)" if len(names) > _LISTED else "")
