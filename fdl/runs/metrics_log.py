"""The metrics log: the lines of metrics.jsonl, read back. Written by `fdl.runs.writers`."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CLOCKED = ("seconds", "steps_per_second", "examples_per_second", "input_wait")  # values that no two runs share


def lines(file: Path, log: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Read a metrics.jsonl without damaged lines, and log a warning for each.

    A truncated last line, left by a crash, is ignored: it is written again.
    """
    if not file.exists():
        return []
    whole, texts = [], file.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if _is_valid(line):
            whole.append(line)
        elif number < len(texts):
            log(f"warning: {file} line {number} is damaged and left out")
    return whole


def _is_valid(line: Any) -> bool:
    """Say whether this is a line that a run wrote: a step, a split, and values that are numbers or tables of them.

    A number that is not one stands in JSON as null.
    """
    if not isinstance(line, dict) or not isinstance(line.get("step"), int) or not isinstance(line.get("split"), str):
        return False
    values = [value for name, value in line.items() if name != "split"]
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif isinstance(value, int):
            if abs(value) >= 2**63:  # beyond any count, and beyond a double
                return False
        elif value is not None and not isinstance(value, float):
            return False
    return True


def training_seconds(record: Sequence[Mapping[str, Any]]) -> float:
    """Return the training seconds recorded in a metrics.jsonl."""
    seconds = (line.get("seconds", 0.0) for line in record if line["split"] == "train")
    return max((value for value in seconds if isinstance(value, float) and math.isfinite(value)), default=0.0)
