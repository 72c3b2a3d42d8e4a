"""Tagged words as CoNLL files keep them: a word a line with its columns, and an empty line after each sentence.

Formats: CoNLL 2000 to 2003 and its kin (columns at tabs or blanks, -DOCSTART- lines) and CoNLL-U of Universal
Dependencies (ten columns at tabs, lines of comments, words that stand for several).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint
from fdl.data.pixels import Unreadable
from fdl.data.readers.documents import document
from fdl.data.readers.splits import split_of
from fdl.data.readers.tables.dialect import OTHER_ENCODING
from fdl.data.records import Column, Field, Records

CONLL = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes")
LIST = Field(kind="list", dtype=np.dtype(object))
_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_DOCUMENT = "-DOCSTART-"  # between the articles of CoNLL 2003
_NUMBERED = re.compile(r"\d+")
_SEVERAL = re.compile(r"\d+[-.]\d+")  # CoNLL-U: words written as one, and words that are not written


class Sentences(NamedTuple):
    """The sentences of a file. rows: the cells of each word. lines: the number of each sentence's first line."""

    rows: list[list[list[str]]]
    lines: list[int]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def conll_files(name: str, files: Mapping[str, Path], encoding: str = "utf-8") -> Records:
    """Return the records of CoNLL files, one per split: a column of words, and one for each kind of tags.

    The columns of CoNLL-U have its names. In other files the first is "word", the last "tag", and those between are
    "column2", "column3", …
    """
    parsed = {split: _parse(path, encoding) for split, path in files.items()}
    first, *more = parsed.values()
    for split, part in parsed.items():
        if part.columns != first.columns:
            raise UserError(
                f"{files[split]} has {len(part.columns)} columns, and {next(iter(files.values()))} has "
                f"{len(first.columns)}; give files of one form"
            )

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        places = [first.columns.index(each) for each in names]
        return {
            each: [[row[place] for row in parsed[split].rows[i]] for i in indices]
            for each, place in zip(names, places, strict=True)
        }

    words, tags = ("form", "upos") if first.columns == _CONLLU else (first.columns[0], first.columns[-1])
    said = f"words are column {words}, tags column {tags}" * (len(first.columns) > 2)
    others = ", ".join(f"--target={each}" for each in first.columns if each not in (words, tags, "id"))
    return Records(
        name=name,
        fields=dict.fromkeys(first.columns, LIST),
        sizes={split: len(part.rows) for split, part in parsed.items()},
        read=read,
        supervised=(words, tags) if len(first.columns) > 1 else None,
        fingerprint=partial(fingerprint, list(files.values())),
        contents=partial(fingerprint, list(files.values())),
        where=lambda split, index: f"{files[split]} line {parsed[split].lines[index]}",
        notes=(*first.notes, *(note for part in more for note in part.notes), *([f"{said}; {others}"] if said else [])),
    )


def conll_folder(path: Path, besides: Sequence[str]) -> dict[str, Path]:
    """Return `{split: file}` of a folder of train.conll, dev.conll, … of other suffixes; empty where it is none."""
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        words = [split for word in re.split(r"[-._]", file.name) if (split := split_of(word))]
        if file.is_file() and file.name[0] not in "._" and file.suffix not in besides and len(words) == 1:
            if words[0] in found:
                raise UserError(f"{path} has {found[words[0]].name} and {file.name} for {words[0]}; keep one of them")
            found[words[0]] = file
    return found if "train" in found else {}


def _parse(path: Path, encoding: str) -> Sentences:
    try:
        lines = document(str(path), encoding).split("\n")
    except Unreadable as error:
        raise UserError(f"{path} {error}; {OTHER_ENCODING}") from None
    rows: list[list[list[str]]] = [[]]
    numbers, width, documents, several, tabs = [0], 0, 0, 0, False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            if rows[-1]:
                rows.append([])
                numbers.append(0)
            continue
        if not width and line.startswith("#"):  # a comment; a word may be # once the number of columns is known
            continue
        tabs = "\t" in line if not width else tabs
        cells = line.rstrip("\r").split("\t") if tabs else line.split()
        if cells[0] == _DOCUMENT:
            documents += 1
            continue
        if line.startswith("#") and len(cells) != width:
            continue
        width = width or len(cells)
        word = cells[0].strip(" ")  # of Japanese an ideographic space is a word, between tabs
        if len(cells) != width or not word:
            what = f"{len(cells)} columns, and the lines before have {width}" if word else "no word"
            raise UserError(f"{path} line {number} has {what}; mend it: a word a line, an empty line after a sentence")
        if width == len(_CONLLU) and _SEVERAL.fullmatch(cells[0]):
            several += 1
            continue
        rows[-1].append(cells)
        numbers[-1] = numbers[-1] or number
    if not rows[-1]:
        rows, numbers = rows[:-1], numbers[:-1]
    if not rows:
        raise UserError(f"{path} holds no words; give a word and its tag a line, and an empty line after a sentence")
    universal = width == len(_CONLLU) and all(_NUMBERED.fullmatch(sentence[0][0]) for sentence in rows)
    between = tuple(f"column{i}" for i in range(2, width))
    return Sentences(
        rows=rows,
        lines=numbers,
        columns=_CONLLU if universal else ("word", *between, "tag") if width > 1 else ("word",),
        notes=tuple(_left_out(path, documents, several)),
    )


def _left_out(path: Path, documents: int, several: int) -> Iterable[str]:
    if documents:
        yield f"{path.name}: {documents:,} lines of {_DOCUMENT} are left out"
    if several:
        yield f"{path.name}: {several:,} lines for several words, or for words that are not written, are left out"
