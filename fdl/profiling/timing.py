"""Timing: windows of calls after a warm-up, with exactly one call in flight ahead.

A dedicated thread waits for the end of each call, so that neither the time stamp nor the loop is delayed. The functions
to call and the clock are arguments, so that tests can replace them.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

Clock = Callable[[], float]


@dataclass(frozen=True)
class Window:
    """Consecutive calls. seconds: from the first dispatch to the last end; feeding: of these, spent preparing inputs.

    per_call: seconds between the ends of consecutive calls.
    """

    calls: int
    seconds: float
    feeding: float
    per_call: tuple[float, ...]


def window(
    send: Callable[[Any], Any], feed: Callable[[], Any], wait: Callable[[Any], Any], clock: Clock, seconds: float
) -> Window:
    """Run calls for about this many seconds: feed, send, then wait for the previous call."""

    def finish(sent: Any) -> float:
        wait(sent)
        return clock()

    ends: list[Future[float]] = []
    feeding = 0.0
    with ThreadPoolExecutor(1, thread_name_prefix="stopwatch") as watcher:
        start = clock()
        while True:
            at = clock()
            fed = feed()
            feeding += clock() - at
            ends.append(watcher.submit(finish, send(fed)))
            if len(ends) > 1:
                ends[-2].result()
            if clock() - start >= seconds:
                break
        times = [end.result() for end in ends]
    return Window(len(times), times[-1] - start, feeding, tuple(np.diff([start, *times]).tolist()))


def steady(run: Callable[[], Window], *, within: float = 0.05, most: int = 10) -> int:
    """Run windows until two consecutive ones agree; return how many that took, `most` if they never do."""
    before = None
    for count in range(1, most + 1):
        here = run()
        pace = here.seconds / here.calls
        if before is not None and abs(pace - before) <= within * max(pace, before):
            return count
        before = pace
    return most


def summary(windows: list[Window], steps: int) -> dict[str, float]:
    """Summarise windows of calls of `steps` steps: rates are medians over windows, times are ms per step."""
    rates = sorted(steps * w.calls / w.seconds for w in windows)
    times = np.array([t for w in windows for t in w.per_call]) / steps * 1e3
    return {
        "steps_per_second": median(rates),
        "lowest": rates[0],
        "highest": rates[-1],
        "ms_p50": float(np.percentile(times, 50)),
        "ms_p95": float(np.percentile(times, 95)),
        "input_fraction": sum(w.feeding for w in windows) / sum(w.seconds for w in windows),
    }


def compare(now: dict[str, float], before: dict[str, float]) -> str:
    """Compare two summaries in one line; overlapping ranges of the windows are a tie."""
    ratio = now["steps_per_second"] / before["steps_per_second"]
    if now["lowest"] <= before["highest"] and before["lowest"] <= now["highest"]:
        return f"a tie with the baseline: {ratio:.2f} times its steps/s, inside the spread"
    return f"{ratio:.2f} times the steps/s of the baseline"
