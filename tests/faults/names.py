"""Names and bytes of others' files: what a terminal would obey is shown escaped, what cannot be kept is refused."""

import os
import random
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import caches
import runs
from runs import Row

ESCAPE = "\x1b[2J\x1b[31m\x07\x9b5n"


def strange(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Give files, folders, columns and classes such names, and pictures that are too large to be."""
    kinds: dict[str, runs.Kind] = {name: partial(attempt, make=make) for name, make in KINDS.items()}
    runs.each_kind(row, tries, rng, folder, kinds)


def table(folder: Path, header: str, cells: tuple[str, str] = ("x", "y")) -> list[str]:
    """Write a table and return the flags of a run on it."""
    rows = "".join(f"{i},{cells[i % 2]}\n" for i in range(60))
    (folder / "t.csv").write_text(f"a,{header}\n{rows}", encoding="utf-8", errors="surrogateescape")
    return ["--experiment=table", f"--dataset={folder / 't.csv'}"]


def images(folder: Path, rename: Callable[[Path], object]) -> list[str]:
    """Make pictures of two classes, rename something, and return the flags of a run on them."""
    caches.pictures(folder / "pictures")
    rename(folder / "pictures")
    return ["--experiment=image", f"--dataset={folder / 'pictures'}", "--model=mlp"]


def bomb(folder: Path, side: int) -> Path:
    """Write a PNG of a few bytes that says it is `side` pixels wide and high."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b"")):
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return Path(folder / "cats" / "3.png").write_bytes(data) and folder


def raw(folder: Path, name: bytes, of: str) -> None:
    """Give a file or a class a name of bytes."""
    os.rename(os.fsencode(folder / of), os.path.join(os.fsencode((folder / of).parent), name))


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "escapes in a header": lambda folder: [*table(folder, ESCAPE), "--target=nothing"],
    "escapes in cells": lambda folder: [*table(folder, "b", (ESCAPE, "y")), "--target=b"],
    "escapes in a wrong row": lambda folder: [*table(folder, "b", (f"{ESCAPE},1", "y")), "--target=b"],
    "bytes that are no text in a table": lambda folder: [*table(folder, "b", ("\udcff", "y")), "--target=b"],
    "escapes in a class": lambda folder: images(folder, lambda p: (p / "cats").rename(p / f"c{ESCAPE}")),
    "escapes in the name of a damaged file": lambda folder: images(
        folder, lambda p: (p / "cats" / f"{ESCAPE}.png").write_bytes(b"no picture")
    ),
    "a class that is no text": lambda folder: images(folder, lambda p: raw(p, b"c\xff\xfe", "cats")),
    "a file that is no text": lambda folder: images(folder, lambda p: raw(p, b"c\xff.png", "cats/3.png")),
    "a picture of 20,000 pixels a side": lambda folder: images(folder, lambda p: bomb(p, 20_000)),
    "a picture of 2,000,000,000 pixels a side": lambda folder: images(folder, lambda p: bomb(p, 2_000_000_000)),
    "a workdir that is no text": lambda folder: [*table(folder, "b"), f"--workdir={folder}/r\udcff"],
    "a page that is no text": lambda folder: [f"--experiment={folder}/p\udcff.py"],
    "escapes in a flag": lambda folder: [f"--{ESCAPE}=1"],
    "escapes in a value": lambda folder: ["--experiment=table", f"--dataset={ESCAPE}"],
    "a folder to start in that is no text": lambda folder: table(folder, "b"),
}


def attempt(folder: Path, rng: random.Random, make: Callable[[Path], list[str]]) -> str | None:
    """Start a run on what was made; it finishes, or ends in one line, and the terminal obeys nothing."""
    argv, log, here = make(folder), folder / "log", folder
    if make is KINDS["a folder to start in that is no text"]:
        here = Path(os.fsdecode(os.fsencode(folder) + b"/h\xff"))
        here.mkdir()
    ended = runs.process([*argv, "--seed=1"], log, cwd=here, env=os.environ | {"FDL_CACHE": str(folder / "cache")})
    said = log.read_bytes().replace(b"\x1b[A", b"")  # the progress bar goes up a line
    if any(byte in said for byte in (b"\x1b", b"\x07", "\x9b".encode())):
        return f"reaches the terminal: {said[-600:]!r}"
    if ended.hung or ended.code not in (0, 1, 2) or "Traceback" in ended.said:
        return f"exit {ended.code}: {ended.said[-900:]}"
    errors = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    fine = len(errors) == (ended.code != 0)
    return None if fine else f"exit {ended.code} with {len(errors)} lines: {ended.said[-600:]}"
