"""CSV and TSV as tables of text, by pyarrow, or by pandas where only it knows the dialect; every line counts."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from fdl.core.errors import UserError
from fdl.data.readers.tables.dialect import HEAD, OTHER_ENCODING, PLAIN, Dialect, sniff, split_lines
from fdl.data.readers.tables.line_scan import Body, Scan, scan
from fdl.data.readers.tables.raw_table import RawTable

_MARK = b"\xef\xbb\xbf"
_BLOCKS = (2**20, 2**26, 2**30)  # bytes that pyarrow cuts a file into; no row may be longer
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_CODE = re.compile(r"[0-9]+[eE][0-9]+")
Quick = Callable[[str], bool]


def read_delimited(
    open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any], quick: Quick = lambda name: False
) -> RawTable:
    """Return the table of a CSV or TSV file, every cell as text.

    open_file: opens its bytes, decompressed. given: fields of the dialect that are not inferred. quick: whether a
    column may be read as numbers at once, where every cell is written as one: that is all it can be then.
    """
    body = _body(open_file, path, given)
    seen = scan(body)
    if seen.nul is not None:
        raise UserError(f"{path} line {body.line(seen.nul)} holds a NUL byte; mend the line")
    notes = []
    if seen.wrong_quote is not None:
        line = body.line(seen.wrong_quote)
        body = _without_quotes(body, line)
        notes.append(f"a quote in line {line} pairs with none: quotes are read as characters")
    columns, more = _named(body, seen, quick)
    rows = len(next(iter(columns.values())))
    simple = rows == seen.lines  # a line each: none is blank, no cell holds several

    def line_of(row: int) -> int:
        return body.dialect.skip + 1 + row if simple else body.line_of_row(row)

    said = f"{rows:,} rows of {seen.lines + body.dialect.skip:,} lines"
    return RawTable(
        columns=columns,
        rows=rows,
        line_of=line_of,
        dialect=replace(body.dialect, columns=tuple(columns)),
        notes=tuple(filter(None, (said, body.dialect.said(), *notes, more))),
    )


def _body(open_file: Callable[[], BinaryIO], path: str, given: Mapping[str, Any]) -> Body:
    """Return the rows of a file, its dialect inferred or given."""
    with open_file() as file:
        head = file.read(HEAD)
    mark = len(_MARK) if head.startswith(_MARK) else 0
    dialect = sniff(head[mark:], path, given, whole=len(head) < HEAD)
    if dialect.encoding != "utf-8":
        with open_file() as file:
            decoded = _decode(file.read(), dialect.encoding, path)
        head, mark = decoded[:HEAD], 0
        above = _above(head, dialect.skip)
        return Body(open_file=lambda: io.BytesIO(decoded), start=above, dialect=dialect, path=path)
    return Body(open_file=open_file, start=mark + _above(head[mark:], dialect.skip), dialect=dialect, path=path)


def _above(head: bytes, lines: int) -> int:
    """Return how many bytes the first lines take."""
    return len("".join(split_lines(head.decode(errors="surrogateescape"))[:lines]).encode(errors="surrogateescape"))


def _decode(data: bytes, encoding: str, path: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path} line {line} is not {encoding}; give another with --dialect=encoding=NAME") from None


def _without_quotes(body: Body, line: int) -> Body:
    """Return the same with quotes as characters, if each line then has as many cells as names, and none in quotes."""
    plain = replace(body, dialect=replace(body.dialect, quote=""))
    quote, width = body.dialect.quote, len(body.dialect.columns)
    for cells in plain.rows()[0]:
        wrapped = any(len(cell) > 1 and cell[0] == cell[-1] == quote for cell in cells)
        if wrapped or len(cells) != width:
            raise UserError(
                f"{body.path} line {line} has a quote that neither opens nor closes a cell; write it twice within a "
                "quoted cell, or give --dialect=quote=none where quotes are characters"
            )
    return plain


def _named(body: Body, seen: Scan, quick: Quick) -> tuple[dict[str, Any], str]:
    """Return the columns by name, and what is said of a line that has a cell more than there are names."""
    names = body.dialect.columns
    first, _ = body.rows(HEAD)
    if not first:
        shown = ", ".join(name[:40] for name in names[:6])
        raise UserError(f"{body.path} holds no rows below the line of names ({shown}); give it some")
    extra = all(len(row) == len(names) + 1 for row in first)
    wide = (*names, "\0") if extra else names
    places = [*map(str, range(len(wide)))]
    numbers = {} if seen.coded else _numbers(body.dialect, dict(zip(places, wide, strict=True)), first, quick)
    columns = _read(body, places, seen, numbers)
    cells = list(columns.values())
    last_is_empty = len(cells) > 1 and cells[-1].null_count == len(cells[-1])
    if last_is_empty and (extra or names[-1] == f"Unnamed: {len(names) - 1}"):
        kept = names if extra else names[:-1]
        return dict(zip(kept, cells, strict=False)), "each line ends with a delimiter"
    if extra:
        said = "lines have one cell more than there are names: the first is the row's name"
        return dict(zip(("row", *names), cells, strict=True)), said
    return dict(zip(names, cells, strict=True)), ""


def _numbers(dialect: Dialect, names: Mapping[str, str], rows: Sequence[Sequence[str]], quick: Quick) -> dict[str, Any]:
    """Return the Arrow type of the columns that may be read as numbers at once: by their first cells, all are such."""
    import pyarrow as pa

    found = {}
    for number, (place, name) in enumerate(names.items()):
        cells = [row[number] for row in rows[:1000] if number < len(row) and row[number]]
        whole = all(_WHOLE.fullmatch(cell) for cell in cells)
        codes = all(_CODE.fullmatch(cell) for cell in cells)
        plain = cells and not dialect.missing and dialect.decimal == "." and not codes and quick(name)
        if plain and (whole or all(PLAIN.fullmatch(cell) for cell in cells)):
            found[place] = pa.int64() if whole else pa.float64()
    return found


def _read(body: Body, names: list[str], seen: Scan, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns by the library that knows the dialect: as text, or as numbers where they were inferred."""
    dialect = body.dialect
    blank_before_quote = f"{dialect.delimiter} {dialect.quote}".encode()
    if dialect.delimiter == " " or (dialect.quote and dialect.delimiter and blank_before_quote in body.read(HEAD)):
        return _by_pandas(body, names)
    return _by_arrow(body, names, numbers, multiline=seen.multiline)


def _by_arrow(body: Body, names: list[str], numbers: Mapping[str, Any], *, multiline: bool) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import csv

    dialect = body.dialect
    parse = csv.ParseOptions(
        delimiter=dialect.delimiter or "\1", quote_char=dialect.quote or False, newlines_in_values=multiline
    )
    convert = csv.ConvertOptions(
        column_types={**dict.fromkeys(names, pa.string()), **numbers}, strings_can_be_null=True, null_values=[""]
    )
    for block in _BLOCKS:
        try:
            with body.open() as file:
                options = csv.ReadOptions(column_names=names, block_size=block)
                return dict(zip(names, csv.read_csv(file, options, parse, convert).columns, strict=True))
        except pa.ArrowInvalid as error:
            wrong = re.search(r"In CSV column #(\d+)", str(error))
            if wrong and names[int(wrong[1])] in numbers:  # no number after all: as text, and typed by every cell
                return _by_arrow(body, names, {}, multiline=multiline)
            if "straddling" not in str(error) or block == _BLOCKS[-1]:
                raise UserError(_why(body, names, str(error).splitlines()[0])) from None
    raise AssertionError


def _by_pandas(body: Body, names: list[str]) -> dict[str, Any]:
    import pandas
    import pyarrow as pa

    dialect = body.dialect
    with body.open() as file:
        try:
            frame = pandas.read_csv(
                file,
                sep=r"\s+" if dialect.delimiter == " " else dialect.delimiter,
                names=names,
                header=None,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                skipinitialspace=True,
                quotechar=dialect.quote or '"',
                quoting=0 if dialect.quote else 3,
                index_col=False,
                on_bad_lines="error",
            )
        except (pandas.errors.ParserError, UnicodeDecodeError) as error:
            raise UserError(_why(body, names, str(error).splitlines()[0])) from None
    return {name: pa.chunked_array([pa.array(frame[name], pa.string(), from_pandas=True)]) for name in names}


def _why(body: Body, names: list[str], said: str) -> str:
    """Return the line of a file that cannot be read, and why: not UTF-8, or another number of cells."""
    try:
        body.read().decode()
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        return f"{body.path} line {body.line(error.start)} is not UTF-8 (byte {wrong:#x}); {OTHER_ENCODING}"
    for row, line in zip(*body.rows(), strict=True):
        if len(row) != len(names):
            return (
                f"{body.path} line {line} has {len(row)} cells for {len(names)} columns (delimiter "
                f"{body.dialect.delimiter!r}); mend the line, or give another with --dialect=delimiter=X"
            )
    return f"{body.path} cannot be read: {said}; mend it"
