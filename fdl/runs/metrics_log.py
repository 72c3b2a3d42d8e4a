"""The record of a run: one line of metrics.jsonl and the same scalars for TensorBoard at every due point."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fdl.runs.atomic_files import write_text
from fdl.runs.tensorboard import Board


class Record:
    """Appends to metrics.jsonl and to a TensorBoard event file.

    A run that goes on from `step` first drops the lines behind it, and the test's: they will be written again.
    """

    def __init__(self, folder: Path, step: int, say: Callable[[str], None] = print):
        file = folder / "metrics.jsonl"
        kept = [line for line in lines(file, say) if line["step"] <= step and line["split"] != "test"]
        # A whole new file takes the place of the old one: a crash in between loses neither.
        write_text(file, "".join(json.dumps(line) + "\n" for line in kept))
        self.file = file.open("a", encoding="utf-8")
        self.board = Board(folder, step)

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Write the values of one split at one step; tables (nested lists) go to the file alone."""
        line = {"step": step, "epoch": round(epoch, 4), "split": split, **values}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        self.board.write(split, step, values)

    def flush(self) -> None:
        """Force all lines onto the disk: before the checkpoint that a resumed run goes on from is published."""
        os.fsync(self.file.fileno())
        self.board.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()
        self.board.close()


def lines(file: Path, say: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Read a metrics.jsonl without its damaged lines, of which it says where they are.

    A last line cut short by a crash is no damage: it is written again.
    """
    if not file.exists():
        return []
    whole, texts = [], file.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            line = None
        if isinstance(line, dict) and isinstance(line.get("step"), int) and "split" in line:
            whole.append(line)
        elif number < len(texts):
            say(f"warning: {file} line {number} is damaged and left out")
    return whole
