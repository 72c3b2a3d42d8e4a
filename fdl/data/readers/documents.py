"""Text files: a document each, or a text per line, split at newlines alone.

Byte order marks of UTF-8 and UTF-16 are read and dropped; everything else is to be UTF-8.
"""

import codecs
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint
from fdl.data.pixels import Unreadable
from fdl.data.readers.media import Item, Items, Media
from fdl.data.readers.stand_ins import refuse_pointer
from fdl.data.readers.tables.dialect import OTHER_ENCODING
from fdl.data.records import Column, Field, Records

TEXTS = (".txt", ".text", ".log")  # a text per line
DOCUMENTS = frozenset({".txt", ".text", ""})  # 20 Newsgroups' files have no suffix
TEXT = Field(kind="text", dtype=np.dtype(object))
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BLOCK = 2**20
_LABEL = "__label__"  # fastText's mark before the class of a line
_ATTRIBUTION = "CC-BY"  # what the third column of Tatoeba's pairs begins with


def documents(items: Items, encoding: str = "utf-8") -> Media:
    """Return the column of these files, a text each."""
    kept: dict[Item, str] = {}  # read again and again: by the split, the tokenizer, the loader

    def decode(item: Item) -> str:
        if item not in kept:
            kept[item] = document(item, encoding)
        return kept[item]

    return Media(field=TEXT, decode=decode)


def document(item: Item, encoding: str = "utf-8") -> str:
    """Return the text of a file or of its bytes, with \\n at the end of a line; raise Unreadable."""
    try:
        if not isinstance(item, bytes) and (line := nul_line(Path(item), encoding)):
            raise Unreadable(f"line {line} holds a NUL byte: no text")
        data = item if isinstance(item, bytes) else Path(item).read_bytes()
        return decode_text(data, encoding).replace("\r\n", "\n")
    except FileNotFoundError:
        raise Unreadable("no such file, a broken link") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"line {_line_of(error)} is not {encoding.upper()}") from None


def nul_line(path: Path, encoding: str = "utf-8") -> int:
    """Return the first line of a file that holds a NUL byte, which no text has, 0 where none does.

    A block at a time: a file may be larger than memory, as one of nothing but a hole is. UTF-16 and UTF-32 have them.
    """
    line = 1
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            wide = line == 1 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            if wide or encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
                return 0
            if b"\0" in block:
                return line + block[: block.index(b"\0")].count(b"\n")
            line += block.count(b"\n")
    return 0


def decode_text(data: bytes, encoding: str = "utf-8") -> str:
    """Return the text of bytes without the mark that may lead them; raise a UnicodeDecodeError."""
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(marked)
    return data.decode(encoding)


def text_files(name: str, files: Mapping[str, Path], encoding: str = "utf-8") -> Records:
    """Return the records of .txt files, one per split: a text per line, with a label or as a pair where all lines are.

    Lines end at \\n or \\r\\n alone: other characters that Python counts as ends of lines belong to the text.
    fastText's `__label__CLASS text` gives the columns text and label; Tatoeba's two sentences and attribution,
    separated by tabs, give source and target.
    """
    lines, kept, notes = {}, {}, []
    for split, path in files.items():
        refuse_pointer(path)
        if line := nul_line(path, encoding):
            raise UserError(
                f"{path} line {line} holds a NUL byte, which no text has; mend it, or give its encoding, as in "
                "--dialect=encoding=utf-16-le"
            )
        try:
            lines[split] = decode_text(path.read_bytes(), encoding).replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} line {_line_of(error)} is not {encoding.upper()}; {OTHER_ENCODING}") from None
        kept[split] = [number for number, line in enumerate(lines[split], start=1) if line.strip()]
        if not kept[split]:
            raise UserError(f"{path} holds no text; give a file with a text per line")
        if blank := len(lines[split]) - (not lines[split][-1]) - len(kept[split]):
            notes.append(f"blank lines of {path.name} are left out: {blank:,}")
    texts = {split: [lines[split][number - 1] for number in numbers] for split, numbers in kept.items()}
    columns, said = _columns(texts)
    return text_records(
        name,
        columns,
        (*said, *notes),
        partial(fingerprint, list(files.values())),
        lambda split, index: f"{files[split]} line {kept[split][index]}",
    )


def is_tatoeba(path: Path) -> bool:
    """Say whether a file of cells separated by tabs begins with a pair of Tatoeba, which has no header."""
    with open(path, "rb") as file:
        cells = file.readline().split(b"\t")
    return len(cells) == 3 and cells[2].startswith(_ATTRIBUTION.encode())


def text_records(
    name: str,
    columns: Mapping[str, Mapping[str, list[str]]],
    notes: tuple[str, ...],
    digest: Callable[[], str],
    where: Callable[[str, int], str],
) -> Records:
    """Return records of columns of texts, `{split: {column: texts}}`."""

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        return {name: [columns[split][name][i] for i in indices] for name in names}

    first = next(iter(columns.values()))
    return Records(
        name=name,
        fields=dict.fromkeys(first, TEXT),
        sizes={split: len(next(iter(part.values()))) for split, part in columns.items()},
        read=read,
        fingerprint=digest,
        contents=digest,
        where=where,
        stratified=True,
        notes=notes,
    )


def _columns(texts: Mapping[str, list[str]]) -> tuple[dict[str, dict[str, list[str]]], tuple[str, ...]]:
    every = [text for part in texts.values() for text in part]
    if all(text.startswith(_LABEL) for text in every):
        note = "lines of __label__CLASS TEXT, as of fastText: columns text and label"
        return {split: _labelled(part) for split, part in texts.items()}, (note,)
    cells = {split: [text.split("\t") for text in part] for split, part in texts.items()}
    if all(len(row) == 3 and row[2].startswith(_ATTRIBUTION) for rows in cells.values() for row in rows):
        note = "lines of two sentences and their attribution, as of Tatoeba: columns source and target"
        return {
            split: {"source": [row[0] for row in rows], "target": [row[1] for row in rows]}
            for split, rows in cells.items()
        }, (note,)
    return {split: {"text": part} for split, part in texts.items()}, ()


def _labelled(texts: list[str]) -> dict[str, list[str]]:
    parts = [text.removeprefix(_LABEL).split(None, 1) for text in texts]
    for _, *rest in parts:
        if rest and rest[0].startswith(_LABEL):
            raise UserError(
                f"a line has several labels, as {_LABEL}{rest[0].split()[0]!r}: one class a text can be learned"
            )
    return {"text": [rest[0] if rest else "" for _, *rest in parts], "label": [label for label, *_ in parts]}


def _line_of(error: UnicodeDecodeError) -> int:
    return error.object[: error.start].count(b"\n") + 1
