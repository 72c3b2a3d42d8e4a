"""Writer of TensorBoard event files."""

import os
import time
from pathlib import Path
from typing import Any

from fdl.runs.atomic_files import naming

SHOWN_EVERY = 1.0  # minimum seconds between flushes


class Board:
    """Writes TensorBoard events in the caller's thread, so that a full disk raises here instead of hanging later."""

    def __init__(self, folder: Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.folder = folder
        self.events = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        self.flushed = time.monotonic()
        if step:  # TensorBoard discards events of an earlier start after this step
            begun = SessionLog(status=SessionLog.START)
            self.events.write_event(Event(wall_time=time.time(), step=step + 1, session_log=begun))

    def write(self, split: str, step: int, values: dict[str, Any]) -> None:
        """Write the scalars of one split at one step."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=f"{split}/{name}", simple_value=value)
            for name, value in values.items()
            if isinstance(value, int | float)
        ]
        self.events.write_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))
        if time.monotonic() - self.flushed > SHOWN_EVERY:  # it waits for the disk
            self.flush()

    def flush(self) -> None:
        """Flush all events to the disk."""
        with naming(self.folder):
            self.events.flush()
        self.flushed = time.monotonic()

    def close(self) -> None:
        """Close the event file."""
        self.events.close()
