"""Writer of TensorBoard's event files: each split is a run of its own, with the same tags, so that charts overlay."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.core.types import SPLITS
from fdl.runs.atomic_files import naming
from fdl.runs.writers.pictures import markdown, png
from fdl.runs.writers.writer import Examples, RunInfo, Writer, scalars, tag_of

if TYPE_CHECKING:
    from tensorboardX.proto.summary_pb2 import Summary

SHOWN_EVERY = 1.0  # minimum seconds between flushes
ANEW = (".", "test")  # folders whose events are all written again when a run goes on


class TensorBoard(Writer):
    """Writes scalars to the folders train, validation and test; hyperparameters and examples to the run folder itself.

    Writes in the caller's thread, so that a full disk raises here instead of hanging later. Where a run goes on,
    TensorBoard discards the events of an earlier start after that step.
    """

    def start(self, run: RunInfo) -> None:
        """Open an event file in each folder, and write the hyperparameters."""
        from tensorboardX.proto.event_pb2 import SessionLog

        self.step, self.flushed = run.step, time.monotonic()
        empty = [name for name in SPLITS if not any((run.workdir / name).glob("events*"))]
        self.files = {name: _EventFile(run.workdir / name) for name in (".", *SPLITS)}
        for name, file in self.files.items():
            begun = SessionLog(status=SessionLog.START)
            file.add(step=0 if name in ANEW else run.step + 1, session_log=begun)
        self.files["."].add(summary=_hparams_start(run))
        for line in run.history:
            if line["split"] in empty:  # of a run that an earlier version of fdl began
                self.write(line["split"], line["step"], line["epoch"], {**line, "step": None, "epoch": None})

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Write the numbers of one split at one step; of a split that no run of fdl has, nothing."""
        from tensorboardX.proto.summary_pb2 import Summary

        self.step = step
        tags = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(values).items()]
        self.files[split].add(step=step, summary=Summary(value=tags))
        if time.monotonic() - self.flushed > SHOWN_EVERY:  # it waits for the disk
            self.flush()

    def flush(self) -> None:
        """Flush all events to the disk."""
        for file in self.files.values():
            file.flush()
        self.flushed = time.monotonic()

    def show(self, split: str, step: int, examples: Examples) -> None:
        """Write examples with predictions, as pictures or texts, to the run of their split."""
        self._show(split, split, step, examples)

    def finish(self, report: Mapping[str, Any], examples: Examples) -> None:
        """Write examples of the test split, and that the hyperparameters have their metrics."""
        self._show(".", "test", self.step, examples)
        self.files["."].add(summary=_hparams_end())

    def _show(self, file: str, split: str, step: int, examples: Examples) -> None:
        for title, shown in examples.items():
            tag, drawn = tag_of(split, title), png(shown)
            summary = _text(tag, markdown(shown)) if drawn is None else _image(tag, *drawn)
            self.files[file].add(step=step, summary=summary)

    def close(self, error: BaseException | None) -> None:
        """Close the event files."""
        for file in self.files.values():
            file.close()


class _EventFile:
    """An event file in a folder, which is made, but not the one around it: that may have been removed."""

    def __init__(self, folder: Path):
        from tensorboardX.event_file_writer import EventsWriter

        folder.mkdir(exist_ok=True)
        self.folder, self.dirty = folder, True
        # TensorBoard reads the files of a folder by name: the number is before the time, whose seconds may be equal.
        number = len(list(folder.glob("events*")))
        self.events = EventsWriter(str(folder / f"events.{number:04}"), f".{os.getpid()}")

    def add(self, **event: Any) -> None:
        """Write an event of now."""
        from tensorboardX.proto.event_pb2 import Event

        self.events.write_event(Event(wall_time=time.time(), **event))
        self.dirty = True

    def flush(self) -> None:
        """Flush to the disk what was written since the last time."""
        if self.dirty:
            with naming(self.folder):
                self.events.flush()
        self.dirty = False

    def close(self) -> None:
        """Close the file."""
        self.events.close()


def _hparams_start(run: RunInfo) -> "Summary":
    """Return the hyperparameters of a run, which begins.

    Without a list of all metrics, which would be that of the first run for every other: TensorBoard then finds the
    tags of all runs itself.
    """
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionStartInfo

    begun = SessionStartInfo(start_time_secs=time.time())
    for knob, value in run.config.items():
        entry = begun.hparams[knob]
        if isinstance(value, bool):
            entry.bool_value = value
        elif isinstance(value, int | float):
            entry.number_value = value
        elif value is not None:
            entry.string_value = str(value)
    return _plugin("_hparams_/session_start_info", HParamsPluginData(session_start_info=begun))


def _hparams_end() -> "Summary":
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo

    ended = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"), end_time_secs=time.time())
    return _plugin("_hparams_/session_end_info", HParamsPluginData(session_end_info=ended))


def _plugin(tag: str, data: Any) -> "Summary":
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])


def _image(tag: str, encoded: bytes, width: int, height: int) -> "Summary":
    from tensorboardX.proto.summary_pb2 import Summary

    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    return Summary(value=[Summary.Value(tag=tag, image=picture)])


def _text(tag: str, words: str) -> "Summary":
    from tensorboardX.summary import text

    return text(tag, words)
