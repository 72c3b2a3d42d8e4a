"""The starts of a run, and what interruptions cost it: `starts.json` in the run folder.

What was done after the last commit is lost, and so is the time until a run that goes on has taken its first steps. Time
in which nothing ran is not counted. Both are told by clocks that only go forward: the training seconds that the log and
the commit hold, and the seconds of one process. The wall clock may be set, and the times of files change with a copy.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fdl.runs.atomic_files import read_json, write_json


class RestartLog:
    """Notes a start of the run in a folder, and that it runs; adds up what the interruptions before it cost.

    at: when it began, by the wall clock, for whoever reads it. step: where it goes on.
    logged, saved: the training seconds that the log had come to, and those at that step.
    clock: of this process, in seconds. begun: what it said when the start began.
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
        before = _sound(self.file) if self.file.exists() else []
        self.all = [*before, {"at": at, "step": step, "redone": max(logged - saved, 0.0), "starting": None}]
        write_json(self.file, self.all)

    def mark_running(self) -> None:
        """Note that the first steps of this start are done; later calls do nothing."""
        if self.all[-1]["starting"] is None:
            self.all[-1]["starting"] = max(self.clock() - self.begun, 0.0)
            write_json(self.file, self.all)

    def cost(self) -> dict[str, float]:
        """Return how often the run was interrupted, and how many seconds that cost."""
        return {"interruptions": len(self.all) - 1, "lost_seconds": lost(self.all)}


def _sound(file: Path) -> list[dict[str, Any]]:
    """Return the starts that a file notes, or none where it is damaged: times are no reason not to go on.

    What a start of an earlier version cost is not known.
    """
    try:
        noted = [{"redone": None, "starting": None, **one} for one in read_json(file)]
        return noted if all(_is_start(one) for one in noted) else []
    except (ValueError, TypeError, KeyError):
        return []


def _is_start(one: Mapping[str, Any]) -> bool:
    seconds = [one[name] for name in ("redone", "starting") if one[name] is not None]
    return all(isinstance(value, int | float) and 0 <= value < math.inf for value in [one["at"], one["step"], *seconds])


def lost(starts: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds that interruptions cost a run with these starts."""
    return math.fsum((start["redone"] or 0.0) + (start["starting"] or 0.0) for start in starts[1:])
