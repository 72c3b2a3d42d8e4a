"""Chapters as Markdown pages: the cells in them, and what each is expected to print.

A fenced `python` block is a cell, run in the namespace of its chapter; a `bash` block is a command. A `text` block
right after a cell is its expected output. Other blocks are prose.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "course"
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```\n", re.DOTALL | re.MULTILINE)
_EXPECTED = re.compile(
    r"\n?(?:<!-- within (?P<within>[\d.]+) -->\n)?```text\n(?P<output>.*?)^```\n", re.DOTALL | re.MULTILINE
)
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
WITHIN = 0.05  # relative tolerance of printed numbers: other processors round differently


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of a chapter that runs.

    language: "python" or "bash". line: where its source begins, from 1. output: (start, end) of the expected output in
    the page, None where there is none. within: relative tolerance of the numbers in it.
    """

    language: str
    source: str
    line: int
    output: tuple[int, int] | None
    within: float


def names() -> list[str]:
    """Return the names of the chapters, in order."""
    return [file.stem for file in sorted(FOLDER.glob("[0-9][0-9]-*.md"))]


def cells(page: str) -> list[Cell]:
    """Return the cells of a page, in order."""
    found = []
    for block in _BLOCK.finditer(page):
        if block["language"] not in ("python", "bash"):
            continue
        expected = _EXPECTED.match(page, block.end())
        found.append(
            Cell(
                language=block["language"],
                source=block["body"],
                line=page.count("\n", 0, block.start()) + 2,
                output=expected.span("output") if expected else None,
                within=float(expected["within"] or WITHIN) if expected else WITHIN,
            )
        )
    return found


def difference(expected: str, printed: str, within: float) -> str:
    """Return the first difference of two outputs in words, "" where they agree up to the tolerance of their numbers.

    A line `…` stands for any number of lines, and a word `…` for one word.
    """
    wanted, got = _lines(expected), _lines(printed)
    return _differing(wanted, got, within)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _differing(wanted: Sequence[str], got: Sequence[str], within: float) -> str:
    for i, line in enumerate(wanted):
        if line == "…":
            rest = wanted[i + 1 :]
            if any(not _differing(rest, got[j:], within) for j in range(i, len(got) + 1)):
                return ""
            return f"nothing after line {i} is like {rest[0] if rest else 'the end'!r}"
        if i >= len(got):
            return f"line {i + 1} is missing: {line!r}"
        if not _alike(line, got[i], within):
            return f"line {i + 1} is {got[i]!r} and the page says {line!r}"
    return f"line {len(wanted) + 1} is more than the page says: {got[len(wanted)]!r}" if len(got) > len(wanted) else ""


def _alike(line: str, other: str, within: float) -> bool:
    words, others = line.split(), other.split()
    return len(words) == len(others) and all(
        word == "…" or _alike_words(word, one, within) for word, one in zip(words, others, strict=True)
    )


def _alike_words(word: str, other: str, within: float) -> bool:
    if _NUMBER.sub("#", word) != _NUMBER.sub("#", other):
        return False
    pairs = zip(_NUMBER.findall(word), _NUMBER.findall(other), strict=True)
    return all(_close(float(a.replace(",", "")), float(b.replace(",", "")), within) for a, b in pairs)


def _close(a: float, b: float, within: float) -> bool:
    return abs(a - b) <= within * max(abs(a), abs(b), 0.1)
