"""The starts of a run, and what interruptions cost it: `starts.json` in the run folder.

What was done after the last commit is lost, and so is the time until a run that goes on has taken its first steps. Time
in which nothing ran is not counted. All times are of the wall clock, in seconds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fdl.runs.atomic_files import read_json, write_json

TIMES = ("at", "saved", "ended_before", "running")


class Starts:
    """Notes a start of the run in a folder, and that it runs; adds up what the interruptions before it cost.

    at: when it began. step: where it goes on. saved: when that step was saved, None at step 0.
    Made before anything else is written: what was written last tells when the start before ended.
    """

    def __init__(self, folder: Path, at: float, step: int, saved: float | None, now: Callable[[], float] = time.time):
        self.file, self.now = folder / "starts.json", now
        record = folder / "metrics.jsonl"
        seen = record.stat().st_mtime if record.exists() else None
        before = _sound(self.file) if self.file.exists() else []
        self.all = [*before, {"at": at, "step": step, "saved": saved, "ended_before": seen, "running": None}]
        write_json(self.file, self.all)

    def runs(self) -> None:
        """Note that the first steps of this start are done; later calls do nothing."""
        if self.all[-1]["running"] is None:
            self.all[-1]["running"] = self.now()
            write_json(self.file, self.all)

    def cost(self) -> dict[str, float]:
        """Return how often the run was interrupted, and how many seconds that cost."""
        return {"interruptions": len(self.all) - 1, "lost_seconds": lost(self.all)}


def _sound(file: Path) -> list[dict[str, Any]]:
    """Return the starts that a file notes, or none where it is damaged: times are no reason not to go on."""
    try:
        noted = [{name: one[name] for name in ("step", *TIMES)} for one in read_json(file)]
        return noted if all(_is_start(one) for one in noted) else []
    except (ValueError, TypeError, KeyError):
        return []


def _is_start(one: Mapping[str, Any]) -> bool:
    times = [one[name] for name in TIMES]
    return one["at"] is not None and all(at is None or isinstance(at, int | float) for at in times)


def lost(starts: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds that interruptions cost a run with these starts."""
    seconds = 0.0
    for before, start in pairwise(starts):
        begun = before["running"] or before["at"]
        kept = max(start["saved"] or begun, begun)
        seconds += max((start["ended_before"] or kept) - kept, 0.0)  # work that is done again
        if start["running"]:
            seconds += start["running"] - start["at"]  # getting there again
    return seconds
