"""The record of a run: all writers of its metrics as one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fdl.core.errors import UserError, brief
from fdl.core.log import Log
from fdl.parallel import processes
from fdl.runs.atomic_files import read_json
from fdl.runs.metrics_log import lines
from fdl.runs.summary import chosen
from fdl.runs.writers.jsonl import JsonLines
from fdl.runs.writers.tensorboard import TensorBoard
from fdl.runs.writers.writer import Examples, RunInfo, Writer


class Record:
    """Writes metrics.jsonl, TensorBoard's events and whatever else a run was given to write to.

    Where a file of the run folder cannot be written the run ends, since it could not be resumed; any other writer that
    fails gets nothing more, and the run goes on. A run that resumes from `step` first drops what is of later steps, and
    the test split, which is measured again.
    """

    def __init__(self, workdir: Path, step: int, log: Log = print, writers: Sequence[Writer] = ()):
        for writer in writers:
            if not isinstance(writer, Writer):
                raise UserError(f"writers has a {type(writer).__name__}, which is no fdl.Writer; make it a subclass")
        history = [each for each in lines(workdir / "metrics.jsonl", log) if each["step"] <= step]
        history = [each for each in history if each["split"] != "test"]
        self.log, self.step = log, step
        self.files = (JsonLines(), TensorBoard())
        self.others = list(writers) if processes.first() else []
        run = RunInfo(workdir=workdir, config=_config(workdir), step=step, history=history)
        for file in self.files:
            file.start(run)
        self._to_others(lambda writer: writer.start(run))

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Write the values of one split at one step: numbers, and tables as nested lists."""
        self.step = step
        for file in self.files:
            file.write(split, step, epoch, values)
        self._to_others(lambda writer: writer.write(split, step, epoch, values))

    def shows(self) -> bool:
        """Say whether any of the writers takes examples at evaluations."""
        return any(type(each).show is not Writer.show for each in (*self.files, *self.others))

    def show(self, split: str, step: int, examples: Examples) -> None:
        """Write examples of a split with predictions at one step."""
        for file in self.files:
            file.show(split, step, examples)
        self._to_others(lambda writer: writer.show(split, step, examples))

    def flush(self) -> None:
        """Keep all of it for good, before the checkpoint of the same step is published."""
        for file in self.files:
            file.flush()
        self._to_others(lambda writer: writer.flush())

    def finish(self, report: Mapping[str, Any], examples: Examples) -> None:
        """Write what there is at the end of a run: its report, and examples of the test split with predictions."""
        for file in self.files:
            file.finish(report, examples)
        self._to_others(lambda writer: writer.finish(report, examples))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._to_others(lambda writer: writer.close(error), closes=True)
        for file in self.files:
            file.close(error)

    def _to_others(self, call: Callable[[Writer], None], closes: bool = False) -> None:
        """Call the writers that are no file of the run folder; one that fails is closed once and gets nothing more."""
        for writer in list(self.others):
            try:
                call(writer)
            except Exception as error:
                self.others.remove(writer)
                self.log(
                    f"warning: {type(writer).__name__} failed at step {self.step} ({type(error).__name__}: "
                    f"{brief(error)}) and gets nothing more; the run itself is not harmed"
                )
                if not closes:
                    with suppress(Exception):
                        writer.close(error)


def _config(workdir: Path) -> dict[str, Any]:
    """Return what was chosen of the run of a folder, {} where it does not say."""
    file = workdir / "experiment.json"
    return chosen(read_json(file)["identity"]) if file.exists() else {}
