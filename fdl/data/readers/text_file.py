"""Plain text as records: a text per line."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fdl.data.fingerprint import fingerprint
from fdl.data.records import Column, Field, Records


def text_file(path: Path) -> Records:
    """Return the lines of a `.txt` file that are not blank, as a column `text`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        before = re.split("[\udc80-\udcff]", path.read_bytes().decode("utf-8", "surrogateescape"), maxsplit=1)[0]
        line = before.count("\n") + 1
        raise ValueError(
            f"{path} line {line} is not UTF-8; convert the file, as with: iconv -f ENCODING -t utf-8"
        ) from None
    kept = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if not kept:
        raise ValueError(f"{path} holds no rows")

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        return {name: [lines[kept[int(index)] - 1] for index in indices] for name in names}

    return Records(
        name=path.absolute().stem,
        fields={"text": Field(kind="text", dtype=np.dtype(object))},
        sizes={"train": len(kept)},
        read=read,
        fingerprint=lambda: fingerprint([path]),
        contents=lambda: fingerprint([path]),
        where=lambda split, index: f"{path} line {kept[index]}",
    )
