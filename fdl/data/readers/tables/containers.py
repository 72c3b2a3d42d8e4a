"""Files of tables as raw tables: each kind by the library that is kept for it, imported when a file needs it."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from fdl.core.errors import UserError
from fdl.data.readers.tables.delimited import Quick, read_delimited
from fdl.data.readers.tables.dialect import column_name
from fdl.data.readers.tables.raw_table import RawTable

_MAGIC: Mapping[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MARKS = {b"PAR1": ".parquet", b"ARROW1": ".feather", b"PK\x03\x04": ".xlsx"}
# Files of tables that pandas reads and fdl does not: suffix -> its function.
PANDAS = {
    **dict.fromkeys((".dta",), "read_stata"),
    **dict.fromkeys((".sav", ".zsav"), "read_spss"),
    **dict.fromkeys((".sas7bdat", ".xpt"), "read_sas"),
    **dict.fromkeys((".pkl", ".pickle"), "read_pickle"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "read_hdf"),
    **dict.fromkeys((".ods", ".xlsb", ".xlsm"), "read_excel"),
    ".orc": "read_orc",
    ".xml": "read_xml",
}
_PACKED = (".gz", ".bz2", ".xz", ".zip")


def suffix_of(path: Path) -> str:
    """Return the suffix that says what a file holds, without that of its compression: `.csv` of `a.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        return suffixes[-2] if len(suffixes) > 1 and suffixes[-2] in TABLES else suffixes[-1]
    return suffixes[-1] if suffixes else ""


def read_raw(path: Path, given: Mapping[str, Any], quick: Quick = lambda name: False) -> RawTable:
    """Return the table of one file.

    given: fields of the dialect of a text table that are not inferred; quick: see `read_delimited`.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); give a file with rows")
    try:
        open_file, inner = _opened(path)
        suffix = suffix_of(path)
        kind = _by_first_bytes(open_file) or (suffix if suffix in TABLES else suffix_of(Path(inner)))
        if kind not in TABLES:
            raise UserError(
                f"{path} holds {Path(inner).name}, no {', '.join(TABLES)}; unpack it and give the file or folder"
            )
        return TABLES[kind](open_file, str(path), given, quick)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged: {error}; copy or download it again") from None


def _by_first_bytes(open_file: Callable[[], BinaryIO]) -> str:
    """Return the suffix that a file should have by its first bytes, "" where they do not tell."""
    with open_file() as file:
        head = file.read(6)
    return next((suffix for mark, suffix in _MARKS.items() if head.startswith(mark)), "")


def _opened(path: Path) -> tuple[Callable[[], BinaryIO], str]:
    """Return what opens the bytes of a file, decompressed as its first ones tell, and the name of what they are."""
    with open(path, "rb") as file:
        head = file.read(6)
    for magic, opener in _MAGIC.items():
        if head.startswith(magic):
            return partial(opener, path), path.stem if path.suffix.lower() in _PACKED else path.name
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() not in (".xlsx", ".npz"):
        with zipfile.ZipFile(path) as packed:
            if "xl/workbook.xml" in packed.namelist():
                return lambda: open(path, "rb"), path.name
            members = [
                name
                for name in packed.namelist()
                if suffix_of(Path(name)) in TABLES and not Path(name).name.startswith(".") and "__MACOSX" not in name
            ]
        if len(members) != 1:
            shown = ", ".join(members[:4]) or "none"
            raise UserError(f"{path} holds {len(members)} tables ({shown}); unpack it and give one file or the folder")
        return lambda: io.BytesIO(zipfile.ZipFile(path).read(members[0])), members[0]
    return lambda: open(path, "rb"), path.name


def _parquet(open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any], quick: Quick) -> RawTable:
    from pyarrow import ArrowException, parquet

    try:
        with open_file() as file:
            return of_arrow(parquet.read_table(file))
    except (ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file or is damaged: {_first(error)}; write it again") from None


def _feather(open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any], quick: Quick) -> RawTable:
    from pyarrow import ArrowException, feather, ipc

    with open_file() as file:
        try:
            return of_arrow(feather.read_table(file))
        except (ArrowException, OSError):
            file.seek(0)
        try:
            return of_arrow(ipc.open_stream(file).read_all())
        except (ArrowException, OSError) as error:
            raise UserError(f"{path} is no Arrow file or is damaged: {_first(error)}; write it again") from None


def _json_lines(open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any], quick: Quick) -> RawTable:
    from pyarrow import ArrowException
    from pyarrow import json as arrow_json

    with open_file() as file:
        start = file.read(2**16).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        return _json_list(open_file, path)
    if not start.startswith(b"{"):  # of a file of nulls pyarrow's reader ends the process
        return _json_by_line(open_file, path)
    try:
        with open_file() as file:
            options = arrow_json.ReadOptions(block_size=2**24)
            whole = arrow_json.read_json(file, read_options=options)
    except ArrowException:
        return _json_by_line(open_file, path)
    if whole.num_rows == 1:
        _refuse_one_object(whole.to_pylist()[0], path)
    table = of_arrow(whole)
    return RawTable(columns=table.columns, rows=table.rows, line_of=lambda row: row + 1)


def _refuse_one_object(row: Mapping[str, Any], path: str) -> None:
    """Raise a UserError where the one object of a file holds the rows: in lists, or by column in objects."""
    lists = [name for name, value in row.items() if isinstance(value, list) and value]
    inside = [name for name in lists if isinstance(row[name][0], list | dict)]
    if inside or all(isinstance(value, dict) and len(value) > 1 for value in row.values()):
        raise UserError(
            f"{path} is one JSON object that holds the rows ({', '.join([*(inside or row)][:4])}); write an object per "
            "line, as pandas' to_json(orient='records', lines=True) does"
        )


def _json_list(open_file: Callable[[], BinaryIO], path: str) -> RawTable:
    import pyarrow as pa

    with open_file() as file:
        try:
            rows = json.load(file)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is no JSON: {error}; mend it, or give a line per row (JSON Lines)") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds no list of objects; give JSON Lines: an object per line")
    try:
        return of_arrow(pa.Table.from_pylist(rows))
    except pa.ArrowException as error:
        raise UserError(f"{path}: a column changes its type: {_first(error)}; make each column one type") from None


def _json_by_line(open_file: Callable[[], BinaryIO], path: str) -> RawTable:
    """Return JSON Lines that pyarrow refuses: a column that holds `3` and `"three"` becomes one of texts."""
    import pyarrow as pa

    rows, lines = [], []
    with open_file() as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path} line {number} is no JSON: {error}; mend the line") from None
            if not isinstance(row, dict):
                raise UserError(f'{path} line {number} is no JSON object; give {{"column": value, …}} per line')
            rows.append(row)
            lines.append(number)
    if len(rows) == 1:
        _refuse_one_object(rows[0], path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values, name = [row.get(name) for row in rows], column_name(name)
        try:
            columns[name] = pa.chunked_array([pa.array(values)])
        except pa.ArrowException:
            texts = [value if isinstance(value, str | None) else json.dumps(value) for value in values]
            columns[name] = pa.chunked_array([pa.array(texts, pa.string())])
    return RawTable(columns=columns, rows=len(rows), line_of=lambda row: lines[row])


def _excel(open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any], quick: Quick) -> RawTable:
    import pandas

    try:
        with open_file() as file:
            how = {"dtype": object, "keep_default_na": False, "na_values": [""], "skiprows": given.get("skip", 0)}
            sheets = pandas.read_excel(file, sheet_name=None, **how)
    except ImportError:
        raise UserError(f"{path}: Excel needs openpyxl; run: pip install 'fdl[excel]'") from None
    except Exception as error:  # whatever a damaged archive makes of it
        raise UserError(f"{path} cannot be read: {_first(error)}; save it again, or as CSV") from None
    filled = {name: frame for name, frame in sheets.items() if len(frame)}
    if len(filled) != 1:
        raise UserError(f"{path} has {len(filled)} sheets with rows ({', '.join(filled)}); save the one as CSV")
    name, frame = next(iter(filled.items()))
    raw = of_frame(frame)
    first = 2 + given.get("skip", 0)
    return RawTable(columns=raw.columns, rows=raw.rows, line_of=lambda row: row + first, notes=(f"sheet {name!r}",))


def of_frame(frame: Any) -> RawTable:
    """Return the table of a pandas DataFrame; a column of mixed values is one of texts."""
    import pyarrow as pa

    columns = {}
    for place, name in enumerate(frame.columns):
        values = frame.iloc[:, place]
        try:
            cells = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError):
            cells = pa.array([None if value is None or value != value else str(value) for value in values], pa.string())
        columns[column_name(name)] = cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells])
    if len(columns) != len(frame.columns):
        raise UserError(f"two columns have one name, of {', '.join(map(str, frame.columns))}; rename one")
    return RawTable(columns=columns, rows=len(frame))


def of_arrow(table: Any) -> RawTable:
    """Return the table of an Arrow one: structs become a column per field, labels that Hugging Face names, named."""
    columns: dict[str, Any] = {}
    for name, cells in zip(table.column_names, table.columns, strict=True):
        for inner, part in _opened_struct(name, cells):
            inner = column_name(inner)
            if inner in columns:
                raise UserError(f"two columns have the name {inner!r}; rename one")
            columns[inner] = part
    return RawTable(columns=columns, rows=table.num_rows, labels=_labels(table.schema.metadata))


def _opened_struct(name: str, cells: Any) -> list[tuple[str, Any]]:
    """Return a column by name, or in its place each field of it as `name.field`."""
    import pyarrow as pa

    if not pa.types.is_struct(cells.type) or _is_media(cells.type):
        return [(name, cells)]
    parts = zip(cells.type, cells.flatten(), strict=True)
    return [found for field, part in parts for found in _opened_struct(f"{name}.{field.name}", part)]


def _is_media(kind: Any) -> bool:
    """Say whether a type is a struct of bytes and path, as Hub datasets hold pictures and sounds."""
    import pyarrow as pa

    return pa.types.is_struct(kind) and {field.name for field in kind} >= {"bytes", "path"}


def _labels(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the names of classes that Hugging Face's `datasets` keeps in a Parquet file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: tuple(what["names"]) for name, what in features.items() if what.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, AttributeError, TypeError):
        return {}


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


TABLES: Mapping[str, Callable[[Callable[[], BinaryIO], str, Mapping[str, Any], Quick], RawTable]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".data", ".dat"), read_delimited),
    **dict.fromkeys((".parquet", ".pq"), _parquet),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), _feather),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _json_lines),
    **dict.fromkeys((".xlsx", ".xls"), _excel),
}
