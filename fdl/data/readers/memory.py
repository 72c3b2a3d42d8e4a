"""What people hold in memory as records: DataFrames and Arrow tables go through the very typing of files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.readers.find import find
from fdl.data.readers.table_files import reading, records_of
from fdl.data.readers.tables.containers import of_arrow, of_frame
from fdl.data.records import Records


def as_records(
    data: Any,
    *,
    dialect: str = "",
    roles: Sequence[str] = (),
    drop: Sequence[str] = (),
    schema: Mapping[str, Any] | None = None,
    name: str = "table",
) -> Records:
    """Return the records of whatever holds rows: records, a path or name, a pandas DataFrame, or an Arrow table.

    dialect, roles, drop: as the flags of the pages have them. schema: of the records that these are to be read like.
    """
    if isinstance(data, Records):
        return data
    how = replace(reading(dialect, roles, drop), schema=schema or {})
    if isinstance(data, str | Path):
        return find(str(data), how=how, kind="table")
    kind = type(data).__module__.partition(".")[0]
    if kind == "pandas":
        raw = of_frame(data)
    elif kind == "pyarrow":
        raw = of_arrow(data)
    else:
        raise UserError(
            f"{type(data).__name__} is no table; give a DataFrame, an Arrow table, or a path, or arrays to "
            "fdl.data.arrays(x, y)"
        )
    digest = hashlib.blake2b(digest_size=16)
    for column, cells in raw.columns.items():
        digest.update(f"{column} {cells.type} ".encode())
        for chunk in cells.chunks:
            _add(digest, chunk)
    seen = digest.hexdigest()
    return records_of({"train": [(Path(name), raw)]}, how, name=name, contents=lambda: seen)


def frame_of_array(rows: np.ndarray) -> Any:
    """Return an array [n, k] as a DataFrame whose columns are x0, x1, …"""
    import pandas

    return pandas.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])


def _add(digest: Any, chunk: Any) -> None:
    """Add an Arrow array's values to a digest: a slice of a larger one as a copy of its own."""
    import pyarrow as pa

    chunk = pa.concat_arrays([chunk])
    for buffer in chunk.buffers():
        digest.update(buffer if buffer is not None else b"-")
