"""A tracker of another package as a writer: in a thread of its own, each split and step sent once."""

from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from fdl.runs.atomic_files import read_json, write_json
from fdl.runs.report.gallery import Example
from fdl.runs.workdir import TRACKING
from fdl.runs.writers.writer import Examples, RunInfo, Writer, scalars, tag_of

PATIENCE, HURRY = 60.0, 20.0  # seconds at the end of a run for what was not sent yet, and where a signal ended it

_KEEPING = Lock()  # of the threads of several trackers, which share the file

Kept = dict[str, str]  # what a tracker finds its run again by
Lines = Container[tuple[str, int]]  # splits and steps
Row = tuple[int, Mapping[str, float]]  # a step and its values by tag
TOGETHER = 20  # lines that are sent at once where a tracker is slower than training


class Tracker(Writer):
    """A writer that works in a thread of its own, since a network may be slow or gone; its failure is raised later.

    Each split and step is sent once: what the tracker has already is not sent again, and what it lacks of the steps
    before a resume is sent then.
    """

    package = ""
    failed: Exception | None = None
    thread: Thread | None = None

    def make(self, run: RunInfo) -> Kept:
        """Return what a new run of the tracker is found again by."""
        raise NotImplementedError

    def open(self, run: RunInfo, kept: Kept, new: bool) -> None:
        """Open the run that `kept` names, which is new or to be gone on with."""
        raise NotImplementedError

    def known(self, run: RunInfo) -> Lines:
        """Return what the tracker has of this run already."""
        raise NotImplementedError

    def send(self, rows: Sequence[Row]) -> None:
        """Send steps with their values by tag."""
        raise NotImplementedError

    def send_examples(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Send examples with predictions, at a step that may have earlier ones of the tag."""
        raise NotImplementedError

    def end(self, status: str) -> None:
        """Finish the tracker's run; status: finished, stopped or failed."""
        raise NotImplementedError

    def start(self, run: RunInfo) -> None:
        """Start the thread, which opens the tracker's run and sends what that lacks."""
        self.step, self.queue = run.step, SimpleQueue[Callable[[], None] | None]()
        self.thread = Thread(target=self._work, name=f"fdl-{self.package}", daemon=True)
        self.thread.start()
        self.lines = deque[Mapping[str, Any]](run.history)
        self._do(self._open, run)
        for _ in run.history:
            self._do(self._send)

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Send the numbers of a line."""
        self.step = step
        self.lines.append({"step": step, "epoch": epoch, "split": split, **values})
        self._do(self._send)

    def flush(self) -> None:
        """Raise what failed."""
        if self.failed is not None:
            raise self.failed

    def show(self, split: str, step: int, examples: Examples) -> None:
        """Send examples, unless the tracker has had this step's before a resume."""
        for title, shown in examples.items():
            if shown:
                self._do(self._send_examples, split, step, tag_of(split, title), shown)

    def finish(self, report: Mapping[str, Any], examples: Examples) -> None:
        """Send the examples of the test split."""
        self.show("test", self.step, examples)

    def close(self, error: BaseException | None) -> None:
        """End the tracker's run once all is sent; raise a TimeoutError where that takes too long."""
        if self.thread is None or self.failed is not None:
            return
        stopped = isinstance(error, KeyboardInterrupt)
        self._do(self.end, "finished" if error is None else "stopped" if stopped else "failed")
        self.queue.put(None)
        patience = PATIENCE if error is None else HURRY
        self.thread.join(patience)
        if self.thread.is_alive():
            self.failed = TimeoutError(f"not all is sent after {patience:.0f} seconds")
        self.flush()

    def _do(self, call: Callable[..., None], *args: Any) -> None:
        self.flush()
        self.queue.put(partial(call, *args))

    def _work(self) -> None:
        while (call := self.queue.get()) is not None:
            try:
                call()
            except Exception as error:
                self.failed = error
                return

    def _open(self, run: RunInfo) -> None:
        file = run.workdir / TRACKING
        kept = _all_kept(file).get(self.package)
        new = kept is None
        if kept is None:
            kept = self.make(run)
            with _KEEPING:
                write_json(file, {**_all_kept(file), self.package: kept})
        self.open(run, kept, new)
        self.sent = self.known(run)

    def _send(self) -> None:
        """Send the lines that wait; where an earlier call sent them already, none does."""
        waiting = [self.lines.popleft() for _ in range(min(TOGETHER, len(self.lines)))]
        rows = [_row(line) for line in waiting if (line["split"], line["step"]) not in self.sent]
        if rows:
            self.send(rows)

    def _send_examples(self, split: str, step: int, tag: str, examples: Sequence[Example]) -> None:
        if split == "test" or (split, step) not in self.sent:
            self.send_examples(step, tag, examples)


def _row(line: Mapping[str, Any]) -> Row:
    numbers = scalars({name: value for name, value in line.items() if name not in ("step", "split")})
    return line["step"], {f"{line['split']}/{name}": value for name, value in numbers.items()}


def _all_kept(file: Path) -> dict[str, Kept]:
    return dict(read_json(file)) if file.exists() else {}
