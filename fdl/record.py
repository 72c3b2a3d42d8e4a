"""The record of a run: one line of metrics.jsonl and the same scalars for TensorBoard at every due point."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Record:
    """Appends to metrics.jsonl and to a TensorBoard event file.

    A run that goes on from `step` first drops the lines behind it, and the test's: they will be written again.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX import SummaryWriter

        file = folder / "metrics.jsonl"
        kept = [line for line in lines(file) if line["step"] <= step and line["split"] != "test"]
        self.file = file.open("w", encoding="utf-8")
        self.board = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        for line in kept:
            self._append(line)

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Write the values of one split at one step; tables (nested lists) go to the file alone."""
        self._append({"step": step, "epoch": round(epoch, 4), "split": split, **values})
        for name, value in values.items():
            if isinstance(value, int | float):
                self.board.add_scalar(f"{split}/{name}", value, step)
        self.board.flush()

    def _append(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()
        self.board.close()


def lines(file: Path) -> list[dict[str, Any]]:
    """Read a metrics.jsonl; a last line cut short by a crash is left out."""
    if not file.exists():
        return []
    whole = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            whole.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return whole
