"""Timing: windows of calls, warmed up until they agree, with one call ahead and never more.

The end of a call is seen by a thread that does nothing but wait for it, so that neither it nor the loop is late.

Nothing here knows what a call does; the clock is given, so that tests bring their own.
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
    """Calls in a row. seconds: from the first sent to the last done; feeding: of these, spent making what is sent.

    per_call: seconds between one call's end and the next one's.
    """

    calls: int
    seconds: float
    feeding: float
    per_call: tuple[float, ...]


def window(
    send: Callable[[Any], Any], feed: Callable[[], Any], wait: Callable[[Any], Any], clock: Clock, seconds: float
) -> Window:
    """Run calls for about so many seconds: feed, send, then wait for the call before."""

    def finish(sent: Any) -> float:
        wait(sent)
        return clock()

    ends: list[Future[float]] = []
    feeding = 0.0
    with ThreadPoolExecutor(1, thread_name_prefix="stopwatch") as watcher:
        begun = clock()
        while True:
            at = clock()
            fed = feed()
            feeding += clock() - at
            ends.append(watcher.submit(finish, send(fed)))
            if len(ends) > 1:
                ends[-2].result()
            if clock() - begun >= seconds:
                break
        times = [end.result() for end in ends]
    return Window(len(times), times[-1] - begun, feeding, tuple(np.diff([begun, *times]).tolist()))


def steady(run: Callable[[], Window], *, within: float = 0.05, most: int = 10) -> int:
    """Run windows until two in a row agree and return how many that took; `most` where they never do."""
    before = None
    for count in range(1, most + 1):
        here = run()
        pace = here.seconds / here.calls
        if before is not None and abs(pace - before) <= within * max(pace, before):
            return count
        before = pace
    return most


def summary(windows: list[Window], steps: int) -> dict[str, float]:
    """Return what windows of calls of so many steps log: rates are medians over windows, times are of a step in ms."""
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
    """Say how two summaries compare; where the ranges of their windows overlap it is a tie."""
    ratio = now["steps_per_second"] / before["steps_per_second"]
    if now["lowest"] <= before["highest"] and before["lowest"] <= now["highest"]:
        return f"a tie with the baseline: {ratio:.2f} times its steps/s, inside the spread"
    return f"{ratio:.2f} times the steps/s of the baseline"
