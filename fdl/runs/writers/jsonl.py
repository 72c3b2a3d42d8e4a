"""Writer of metrics.jsonl."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from fdl.runs.atomic_files import json_text, naming, sync, write_text
from fdl.runs.writers.writer import RunInfo, Writer


class JsonLines(Writer):
    """Appends a line of JSON for each split and step; a run that goes on first drops the lines of later steps."""

    file: TextIO

    def start(self, run: RunInfo) -> None:
        """Write the lines up to the step that training resumes from, and open the file."""
        file = run.workdir / "metrics.jsonl"
        # Replaced atomically: a crash in between loses nothing.
        write_text(file, "".join(json_text(line) + "\n" for line in run.history))
        self.file = file.open("a", encoding="utf-8")

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Append a line."""
        with naming(Path(self.file.name)):
            self.file.write(json_text({"step": step, "epoch": round(epoch, 4), "split": split, **values}) + "\n")
            self.file.flush()

    def flush(self) -> None:
        """fsync all lines."""
        sync(self.file.fileno(), Path(self.file.name))

    def close(self, error: BaseException | None) -> None:
        """Close the file."""
        self.file.close()
