"""What a run will cost: parameters and FLOPs before its first step, its time as soon as the first calls are done."""

import time
from collections.abc import Callable
from typing import Any

from fdl.core.log import Log
from fdl.experiment import Experiment
from fdl.parallel.compiled import Call
from fdl.profiling.flops import Work

ENOUGH = 1.0  # seconds of training that are measured before anything is said of the rest
WORTH = 10.0  # seconds from which on it is said
LONG = 600.0  # seconds after which a run on a CPU is warned of


def cost(parameters: int, work: Work | None, steps: int, members: int = 1) -> str:
    """Return a phrase such as "25,346 parameters, 4.9 MFLOP a step, 5.5 GFLOP in all"; of one member of several."""
    each = " each" if members > 1 else ""
    if work is None or not work.flops:
        return f"{parameters:,} parameters{each}"
    whole = _flop(work.flops * steps * members)
    return f"{parameters:,} parameters{each}, {_flop(work.flops)} a step{each}, {whole} in all"


class Forecast:
    """Logs once how long training will take on this machine, from the calls after compilation.

    Time that is spent compiling, evaluating and saving is not counted.
    """

    def __init__(self, experiment: Experiment, step: int, call: Call, platform: str, log: Log):
        self.experiment, self.step, self.call, self.platform, self.log = experiment, step, call, platform, log
        self.said, self.seconds, self.steps = False, 0.0, 0
        self.mark: float | None = None  # when the steps in flight were dispatched
        self.in_flight, self.compiled = 0, 0.0

    def counting(self, advance: Callable[[int], Any]) -> Callable[[int], None]:
        """Return a function of the steps that were dispatched which counts them as well."""

        def counted(count: int) -> None:
            advance(count)
            self.dispatched(count)

        return counted

    def dispatched(self, count: int) -> None:
        """Count steps that were just dispatched; those before them are done."""
        if self.said:
            return
        now = time.perf_counter()
        if self.mark is not None and self.compiled == self.call.compile_seconds:
            self._add(now - self.mark)
        self.mark, self.in_flight, self.compiled = now, count, self.call.compile_seconds

    def done(self, step: int) -> None:
        """Count the steps in flight, at the end of a window."""
        self.step = step
        if not self.said and self.mark is not None:
            self._add(time.perf_counter() - self.mark)
        self.mark = None

    def _add(self, seconds: float) -> None:
        self.seconds, self.steps = self.seconds + seconds, self.steps + self.in_flight
        if self.seconds < ENOUGH:
            return
        self.said, rate = True, self.steps / self.seconds
        left = (self.experiment.steps - self.step) / rate
        if left > LONG and self.platform == "cpu":
            self.log(f"warning: about {_minutes(left)} of training on this CPU ({rate:.3g} steps/s); {self._way(left)}")
        elif left > WORTH:
            self.log(f"about {_minutes(left)} of training here ({rate:.3g} steps/s)")

    def _way(self, left: float) -> str:
        """Return what to change for a run of ten minutes."""
        made, share = self.experiment, LONG / left
        knobs, ways = made.knobs, []
        if "epochs" in knobs:
            ways.append(f"--epochs={made.epochs(made.steps) * share:.2g}")
        elif "steps" in knobs:
            ways.append(f"--steps={max(1, int(made.steps * share))}")
        ways.append("--minutes=10")
        smaller = [f"--{name}={knobs[name] // 2}" for name in ("width", "length") if isinstance(knobs.get(name), int)]
        cheaper = [each for each in smaller if not each.endswith("=0")]
        return f"{' or '.join(ways)} takes ten" + f"; {', '.join(cheaper)} makes a step cheaper" * bool(cheaper)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _flop(flops: float) -> str:
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if flops >= size:
            return f"{flops / size:.3g} {unit}"
    return f"{flops / 1e6:.3g} MFLOP"
