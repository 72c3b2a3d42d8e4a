"""Lines of Python's own standard library, and which package of it each was written for.

Every Python brings its sources along, so sizes differ a little between versions. Blocks of lines that stand together
are held out together, a line counts once however often it is written, and one that several packages share has no answer
and is left out.
"""

import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.records import Field, Records
from fdl.data.tokenizer import Tokenizer, fit_tokens, with_bos

PACKAGES = (
    *("argparse", "asyncio", "ctypes", "doctest", "email", "http", "importlib", "inspect", "logging"),
    *("multiprocessing", "subprocess", "tarfile", "typing", "unittest", "urllib", "xml"),
)
_SPLITS = ("train",) * 8 + ("validation", "test")  # of every ten blocks
_BLOCK = 20  # lines
_SHORTEST = 12  # characters: shorter lines, brackets and `else:`, could be anyone's
_ELSEWHERE = {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data", "__pycache__"}


def library_lines(labels: float = 1.0, *, seed: int = 0) -> Records:
    """Return records with `line: text` and its `package`, one of `PACKAGES`; no line is in two splits.

    labels: the share of the training lines whose package is known; the seed draws them and the rest is left out.
    """
    if not 0 < labels <= 1:
        raise UserError(f"labels {labels} is no share of the training lines; give more than 0 and at most 1")
    label = Field(kind="label", dtype=np.dtype(np.int32), classes=len(PACKAGES), names=PACKAGES)
    columns: dict[str, dict[str, list[Any]]] = {
        split: {"line": [line for line, _ in rows], "package": [package for _, package in rows]}
        for split, rows in _labelled().items()
    }
    train = columns["train"]
    size = len(train["line"])
    kept = np.sort(np.random.default_rng(seed).permutation(size)[: max(1, round(labels * size))])
    columns["train"] = {name: [column[i] for i in kept] for name, column in train.items()}
    return _records("library_lines", "line", columns, {"package": label})


def library_text(together: int = 4) -> Records:
    """Return records with `lines: text` alone, at most so many that stand together: all that the library says.

    No line that `library_lines` holds out for validation and test is in any split.
    """
    columns: dict[str, dict[str, list[Any]]] = {
        split: {"lines": ["\n".join(part) for lines in blocks.values() for part in _parts(lines, together)]}
        for split, blocks in _unlabelled().items()
    }
    return _records("library_text", "lines", columns, {})


def _parts(lines: list[str], size: int) -> list[list[str]]:
    return [lines[start : start + size] for start in range(0, len(lines), size)]


@cache
def library_tokens(vocabulary: int = 2048) -> Tokenizer:
    """Return byte-pair tokens after a START, fitted to the training lines of `library_text`."""
    return with_bos(fit_tokens("bpe", list(chain.from_iterable(_unlabelled()["train"].values())), vocabulary))


def _records(name: str, text: str, columns: dict[str, dict[str, list[Any]]], more: dict[str, Field]) -> Records:
    return Records(
        name=name,
        fields={text: Field(kind="text"), **more},
        sizes={split: len(rows[text]) for split, rows in columns.items()},
        read=lambda split, indices, names: {name: [columns[split][name][i] for i in indices] for name in names},
    )


@cache
def _labelled() -> dict[str, list[tuple[str, int]]]:
    written_for = defaultdict(set)
    for package, _, _, line in _lines():
        written_for[line].add(package)
    rows: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    for package, split, _, line in _lines():
        if package in PACKAGES and written_for.pop(line, ()) == {package}:
            rows[split].append((line, PACKAGES.index(package)))
    return rows


@cache
def _unlabelled() -> dict[str, dict[str, list[str]]]:
    """Return the lines of each block of each split, where there are any."""
    held_out = {line for split in ("validation", "test") for line, _ in _labelled()[split]}
    rows: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}, "test": {}}
    seen = set(held_out)
    for package, split, block, line in _lines():
        if line not in seen and (split == "train" or package not in PACKAGES):
            seen.add(line)
            rows[split].setdefault(block, []).append(line)
    return rows


@cache
def _lines() -> list[tuple[str, str, str, str]]:
    """Return (package, split, block, line) of every line of the library that is long enough, in the files' order."""
    return list(_read())


def _read() -> Iterator[tuple[str, str, str, str]]:
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        place = path.relative_to(library)
        if _ELSEWHERE.isdisjoint(place.parts):
            package = place.parts[0].removesuffix(".py")
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
                block = number // _BLOCK
                if len(line := line.strip()) >= _SHORTEST:
                    yield package, _SPLITS[block % len(_SPLITS)], f"{place}:{block}", line
