"""The restarts of a run and the cost of interruptions: `starts.json` in the run folder.

Lost are the training time since the last checkpoint and the time from a restart to its first steps; time in which
nothing ran is not counted. Both are measured by monotonic clocks: the training seconds in the log and the checkpoint,
and the process's clock. Wall clocks may be adjusted, and file times change with a copy.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fdl.runs.atomic_files import read_json, write_json


class RestartLog:
    """Records a start of the run and sums the cost of earlier interruptions.

    at: wall-clock time of the start, for information. step: the step it resumes from.
    logged, saved: training seconds in the log, and in the checkpoint.
    clock: of this process, in seconds. begun: its value at the start.
    """

    def __init__(
        self,
        folder: Path,
        at: float,
        step: int,
        *,
        logged: float,
        saved: float,
        begun: float,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.file, self.begun, self.clock = folder / "starts.json", begun, clock
        before = _read_starts(self.file) if self.file.exists() else []
        self.all = [*before, {"at": at, "step": step, "redone": max(logged - saved, 0.0), "starting": None}]
        write_json(self.file, self.all)

    def mark_continued(self) -> None:
        """Record that this start trains a finished run further, which no fault has interrupted."""
        self.all[-1] |= {"redone": 0.0, "continued": True}
        write_json(self.file, self.all)

    def mark_running(self) -> None:
        """Record that the first steps of this start are done; later calls do nothing."""
        if self.all[-1]["starting"] is None:
            self.all[-1]["starting"] = max(self.clock() - self.begun, 0.0)
            write_json(self.file, self.all)

    def cost(self) -> dict[str, float]:
        """Return the number of interruptions and the seconds they cost."""
        return {"interruptions": len(_restarts(self.all)), "lost_seconds": lost(self.all)}


def _read_starts(file: Path) -> list[dict[str, Any]]:
    """Return the recorded starts, or none if the file is damaged: that must not prevent a resume.

    The cost of a start by an earlier version is unknown.
    """
    try:
        starts = [{"redone": None, "starting": None, **one} for one in read_json(file)]
        return starts if all(_is_start(one) for one in starts) else []
    except (ValueError, TypeError, KeyError):
        return []


def _is_start(one: Mapping[str, Any]) -> bool:
    seconds = [one[name] for name in ("redone", "starting") if one[name] is not None]
    return all(isinstance(value, int | float) and 0 <= value < math.inf for value in [one["at"], one["step"], *seconds])


def lost(starts: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds lost to interruptions in these starts."""
    return math.fsum((start["redone"] or 0.0) + (start["starting"] or 0.0) for start in _restarts(starts))


def _restarts(starts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the starts after an interruption: neither the first nor those that train a finished run further."""
    return [start for start in starts[1:] if not start.get("continued")]
