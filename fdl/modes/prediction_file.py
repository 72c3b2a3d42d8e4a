"""Files of predictions: a line for each example, as JSON Lines or CSV, whole or not at all."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.runs.atomic_files import json_text, whole

WRITERS = (".jsonl", ".csv")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_ROW = "row"  # what a line begins with that joins nothing else


def output_file(output: str | None, default: Path) -> Path:
    """Return the file to write; raise a UserError where its format is unknown."""
    target = Path(output) if output else default
    if target.suffix not in WRITERS:
        raise UserError(f"--output={output} has no known format; end it in {' or '.join(WRITERS)}")
    return below_folders(target)


def below_folders(target: Path) -> Path:
    """Return the file to write; raise a UserError where its folder would be a file, or may not be written to."""
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"--output={target} lies below {nearest}, which is a file; give a file in a folder")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"--output={target}: this user may not write to {nearest}; choose another folder")
    return target


def write(file: Path, lines: Iterator[dict[str, Any]], columns: Sequence[str] = ()) -> int:
    """Write the lines as JSON, or as CSV with one column per array element, atomically; return how many they are.

    columns: only these, in this order; all where empty. Nothing but predictions with the same columns is overwritten.
    """
    first = [_chosen(line, columns) for line in islice(lines, 1)]
    refuse_precious(file, first[0] if first else {})
    file.parent.mkdir(parents=True, exist_ok=True)
    rest, count = (_chosen(line, columns) for line in lines), 0
    with whole(file) as out:
        if file.suffix == ".jsonl":
            for each in chain(first, rest):
                out.write(json_text(each, ensure_ascii=False) + "\n")
                count += 1
            return count
        writer = None
        for each in chain(first, rest):
            flat = dict(cells(each))
            writer = writer or _started(out, flat)
            writer.writerow({name: plain(value) for name, value in flat.items()})
            count += 1
    return count


def refuse_precious(target: Path, line: Mapping[str, Any]) -> None:
    """Raise a UserError if predictions would overwrite another kind of file, such as a log or the data.

    line: of the predictions; a file that begins with its very columns, or with the number of a row, is predictions.
    """
    if not target.exists():
        return
    text = None
    if target.is_file():
        with target.open(encoding="utf-8", errors="replace", newline="") as file:
            text = file.readline(1 << 20)
    ours = ",".join(name for name, _ in cells(line)), list(line)
    begins = text is not None and text.startswith((f'{{"{_ROW}"', f"{_ROW},"))
    if text != "" and not begins and (text is None or (text.strip() != ours[0] and _names(text) != ours[1])):
        raise UserError(f"--output={target} is there and holds no predictions; choose another file, or remove it")


def _names(text: str) -> list[str] | None:
    """Return the names in a line of JSON, None where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return list(value) if isinstance(value, dict) else None


def plain(value: Any) -> Any:
    """Escape text that a spreadsheet would run as a formula, with a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def cells(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flatten a line: `probabilities.3` is the fourth of `probabilities`."""
    for name, value in line.items():
        if isinstance(value, list):
            yield from cells({f"{name}.{i}": part for i, part in enumerate(value)})
        elif isinstance(value, Mapping):
            yield from cells({f"{name}.{key}": part for key, part in value.items()})
        else:
            yield name, value


def json_value(value: Any) -> Any:
    """Return a cell of a column in JSON's types: dates as ISO 8601 writes them, what is missing as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list):
        return [json_value(each) for each in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and value == value):
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
    return None if isinstance(value, float) else str(value)


def _chosen(line: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    if not columns:
        return line
    flat = {**dict(cells(line)), **line}
    if lacking := [name for name in columns if name not in flat]:
        raise UserError(f"--columns has {lacking[0]}, which is none of {', '.join(flat)}")
    return {name: flat[name] for name in columns}


def _started(out: Any, first: Mapping[str, Any]) -> "csv.DictWriter[str]":
    writer = csv.DictWriter(out, list(first), lineterminator="\n")
    writer.writeheader()
    return writer
