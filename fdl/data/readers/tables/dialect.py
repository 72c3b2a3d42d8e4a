"""The dialect of a text table: inferred once from its first lines, or given by `--dialect`; no second guess."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fdl.core.errors import UserError

HEAD = 2**18  # bytes from which a dialect is inferred
_NAMES = {"tab": "\t", "space": " ", "comma": ",", "none": ""}
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+")

OTHER_ENCODING = "give its encoding, as in --dialect=encoding=cp1252, or write it as UTF-8"  # of what is not UTF-8


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a text table is written.

    delimiter: between cells; " " any run of blanks, "" where a line is one cell.
    quote:     around cells that hold a delimiter; "" where quotes are characters like others.
    decimal:   "." or ","; "" where commas may be either decimal or thousands and nothing tells.
    columns:   their names; skip: the lines above the first row; in `--dialect`, those above the line of names.
    missing:   words that stand for a missing number besides the usual ones.
    dates:     the format of dates as `strptime` has it; "" where it is inferred from the cells.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    decimal: str = "."
    columns: tuple[str, ...] = ()
    header: bool = True
    skip: int = 0
    missing: tuple[str, ...] = ()
    dates: str = ""

    def said(self) -> str:
        """Return in words what is not as in a plain CSV; empty where all is."""
        names = {text: name for name, text in _NAMES.items()}
        parts = []
        if self.encoding not in ("utf-8", "utf-8-sig"):
            parts.append(f"encoding {self.encoding}")
        if self.delimiter != ",":
            parts.append(f"delimiter {names.get(self.delimiter, self.delimiter)}")
        if self.quote != '"':
            parts.append(f"quote {self.quote or 'none'}")
        if self.decimal == ",":
            parts.append("decimal comma")
        if not self.header:
            parts.append(f"no header: columns are {', '.join(self.columns[:8])}{', …' * (len(self.columns) > 8)}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the dialect in JSON's types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def parse_dialect(text: str) -> dict[str, Any]:
    """Return the fields that `--dialect` gives, as in `encoding=cp1252 delimiter=; decimal=, header=no`.

    header is yes, no, or the names of the columns with commas between them, for a file that has none. delimiter and
    quote may be called tab, space, comma and none; missing takes words with a slash between them.
    """
    known = {field.name for field in fields(Dialect)} - {"columns"}
    given: dict[str, Any] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise UserError(f"--dialect has {part!r}; give NAME=VALUE of {', '.join(sorted(known))}")
        if name == "header":
            given["header"] = value == "yes"
            if value not in ("yes", "no"):
                given["columns"] = tuple(value.split(","))
        elif name == "skip":
            if not value.isdecimal():
                raise UserError(f"--dialect skip is {value!r}; give the number of lines above the names")
            given[name] = int(value)
        elif name == "missing":
            given[name] = tuple(value.split("/"))
        elif name == "encoding":
            given[name] = _known_encoding(value)
        elif name in ("delimiter", "quote", "decimal"):
            given[name] = _NAMES.get(value, value)
            if len(given[name]) > 1:
                raise UserError(f"--dialect {name} is {value!r}; give one character, tab, space, comma or none")
        else:
            given[name] = value.replace("_", " ")
    return given


def sniff(head: bytes, path: str, given: Mapping[str, Any], *, whole: bool) -> Dialect:
    """Return the dialect of a file that begins with these bytes.

    given: fields that are not inferred. whole: whether these bytes are the whole file.
    """
    encoding = given.get("encoding") or _encoding(head, path)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    lines = split_lines(text)
    if not whole and len(lines) > 1:
        lines.pop()  # cut off
    skip, delimiter = (given["skip"], None) if "skip" in given else _preamble(lines)
    lines = lines[skip:]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} is empty; give a file with a line of names and a line per row")
    delimiter = given.get("delimiter", delimiter if delimiter is not None else _delimiter(lines, path))
    quote = given.get("quote", _quote(lines, delimiter, path))
    rows, ends = split_rows(lines[:1000], delimiter, quote)
    decimal = given.get("decimal", _decimal(rows, delimiter))
    header, columns = _header(rows, decimal, path, given)
    return Dialect(
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        decimal=decimal,
        columns=columns,
        header=header,
        skip=skip + (ends[0] if header else 0),
        missing=given.get("missing", ()),
        dates=given.get("dates", ""),
    )


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a text with their ends, which are \n, \r\n or \r and nothing else."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


def split_rows(lines: Sequence[str], delimiter: str, quote: str) -> tuple[list[list[str]], list[int]]:
    """Return the cells of each row that is not blank, and after how many of the lines it ends."""
    if delimiter in ("", " "):
        kept = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
        return [line.split() if delimiter else [line] for _, line in kept], [number for number, _ in kept]
    quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    csv.field_size_limit(2**31 - 1)  # a text may be long
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, **quoting)
    rows, ends = [], []
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            rows.append([cell.strip() for cell in row])
            ends.append(reader.line_num)
    return rows, ends


def with_columns(dialect: Dialect, columns: Sequence[str]) -> Dialect:
    """Return the dialect with other names of its columns."""
    return replace(dialect, columns=tuple(columns))


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        way = "give one as utf-8, cp1252, latin-1, gbk"
        raise UserError(f"--dialect encoding is {name!r}, which is unknown; {way}") from None


def _encoding(head: bytes, path: str) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise UserError(
            f"{path} line {line} holds a NUL byte; mend the line, or give --dialect=encoding=utf-16-le if that is it"
        )
    return "utf-8"


def _preamble(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return how many lines stand above the table, and the delimiter if Excel's `sep=;` names it."""
    skip, delimiter = 0, None
    for line, after in zip(lines, [*lines[1:], ""], strict=False):
        stated = re.fullmatch(r"sep=(.)\s*", line)
        comment = line.startswith("#") and _marks(line) != _marks(after)  # a line of names may begin so as well
        if stated:
            delimiter = stated[1]
        elif line.strip() and not comment:
            break
        skip += 1
    return skip, delimiter


def _marks(line: str) -> list[int]:
    return [line.count(mark) for mark in ",;\t|"]


def _delimiter(lines: Sequence[str], path: str) -> str:
    """Return what divides the first line into cells and every other into the same number, as far as possible."""
    if path.lower().endswith((".tsv", ".tab")) and any("\t" in line for line in lines[:1]):
        return "\t"
    best, most = "", (0.0, 0)
    for delimiter in ",;\t|":
        widths = [len(row) for row in split_rows(lines[:200], delimiter, '"')[0]]
        if not widths or widths[0] < 2:
            if delimiter == "," and set(widths) == {1} and any(line.startswith('"') for line in lines[:200]):
                return ","  # one column, its cells in quotes
            continue
        alike = sum(width in (widths[0], widths[0] + 1) for width in widths) / len(widths)
        if (alike, widths[0]) > most:
            best, most = delimiter, (alike, widths[0])
    if best:
        return best
    blanks = {len(line.split()) for line in lines[:200] if line.strip()}
    return " " if len(blanks) == 1 and blanks != {1} and len(lines) > 2 else ""


def _quote(lines: Sequence[str], delimiter: str, path: str) -> str:
    """Return the quote: none in a TSV, an apostrophe where it stands around every word of the first line."""
    if path.lower().endswith((".tsv", ".tab")) or delimiter in ("", " "):
        return ""
    first = split_rows(lines[:1], delimiter, "")[0]
    words = [cell for cell in (first[0] if first else []) if not PLAIN.fullmatch(cell)]
    around = all(len(word) > 1 and word[0] == word[-1] == "'" for word in words)
    return "'" if words and around else '"'


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the decimal mark; "" where numbers have commas that may as well stand for thousands."""
    cells = [cell for row in rows[1:] for cell in row]
    commas = [cell for cell in cells if _COMMA.fullmatch(cell)]
    point = any("." in cell and PLAIN.fullmatch(cell) for cell in cells)
    if any(not _THOUSANDS.fullmatch(cell) for cell in commas) and not point:
        return ","
    return "" if commas and delimiter != "," and not point else "."


def _header(
    rows: Sequence[Sequence[str]], decimal: str, path: str, given: Mapping[str, Any]
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the first row names the columns, and the names."""
    first = rows[0]
    width = max(len(row) for row in rows[:2])
    if "header" in given:
        header = given["header"]
        columns = given.get("columns", ())
        if columns and len(columns) != width:
            raise UserError(f"--dialect=header names {len(columns)} columns, {path} has {width}; name each once")
    else:
        columns, numbers = (), [_is_number(cell, decimal) for cell in first]
        below = [any(_is_number(row[i], decimal) for row in rows[1:50] if i < len(row)) for i in range(len(first))]
        over_numbers = any(
            not number and cell and beneath for cell, number, beneath in zip(first, numbers, below, strict=True)
        )
        header = not any(numbers) or over_numbers
        if (not header and not all(numbers)) or (not any(below) and _is_repeated(rows)):
            shown = ", ".join(first[:6])
            raise UserError(
                f"{path}: its first line ({shown}) may be names or a row; give --dialect=header=yes, header=no or "
                "header=a,b,… with the names"
            )
    if header:
        names = [column_name(name) for name in first]
        columns = tuple(name or _unnamed(i, names) for i, name in enumerate(names))
        twice = next((name for name, count in Counter(columns).items() if count > 1), None)
        if twice is not None:
            raise UserError(
                f"{path} needs a first line that names each column once, has {twice!r} twice; rename one, or give how "
                "many lines stand above that of the names, as in --dialect=skip=1"
            )
    return header, columns or tuple(f"column{i}" for i in range(1, width + 1))


def column_name(name: object) -> str:
    """Return the name of a column in one line: spreadsheets break long ones."""
    return " ".join(str(name).split())


def _unnamed(place: int, names: Sequence[str]) -> str:
    """Return a name for a column that has none: pandas writes a file that it read so with `Unnamed: 0` in it."""
    return next(name for name in (f"Unnamed: {place}", f"Unnamed: {place}.1", f"column{place}") if name not in names)


def _is_repeated(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether a cell of the first row stands below itself again, as a class does and a name does not."""
    return any(cell and any(row[i : i + 1] == [cell] for row in rows[1:]) for i, cell in enumerate(rows[0]))


def _is_number(cell: str, decimal: str) -> bool:
    return bool(PLAIN.fullmatch(cell.replace(",", ".") if decimal == "," else cell))
