"""Starting real runs, and looking at what they leave: shared by the rows of the gate.

A run is `launch.main` in a fork of this process, which has imported everything and started nothing of JAX: the moments
at which a fault can hit are those of a real start, less the imports.
"""

import contextlib
import ctypes
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE.parent)]

PAGE = str(HERE / "families.py")
PLACES = {"jit": (), "pmap": ("--executor=pmap", "--fake_devices=8"), "mesh": ("--executor=mesh", "--fake_devices=8")}


@dataclass
class Row:
    """A row of the gate's table: what was done, how often, what failed, and the worst time where one is bounded."""

    number: int
    fault: str
    tries: int = 0
    failures: list[str] = field(default_factory=list)
    worst: float | None = None
    note: str = ""
    until: float = math.inf

    def over(self, tries: int) -> bool:
        """Say whether enough was tried, or the time is up."""
        return self.tries >= tries or time.monotonic() > self.until

    def attempt(self, problem: str | None, seconds: float | None = None) -> None:
        """Count one try, with what went wrong and how long it took."""
        self.tries += 1
        if problem:
            self.fail(problem)
        if self.tries % 20 == 0:
            print(f"row {self.number}: {self.tries} tries, {len(self.failures)} failures", flush=True)
        if seconds is not None:
            self.worst = max(self.worst or 0.0, seconds)

    def fail(self, problem: str) -> None:
        """Note what went wrong, in the last try or after it."""
        self.failures.append(problem)
        print(f"row {self.number} try {self.tries}: {problem}", flush=True)


class Awake:
    """A stopwatch of the seconds in which this process ran: while a machine or a group sleeps, its runs sleep too."""

    def __init__(self) -> None:
        self.seconds, self._last = 0.0, time.monotonic()

    def __call__(self) -> float:
        now = time.monotonic()
        self.seconds += min(now - self._last, 0.5)
        self._last = now
        return self.seconds


@dataclass
class Ended:
    """How a run ended.

    code: its exit code; negative: the signal that killed it. said: on both outputs. seconds: from its start to its end.
    late: from the last signal it was sent to its end. hung: it had to be killed.
    """

    code: int
    said: str
    seconds: float
    late: float = 0.0
    hung: bool = False


def warm() -> None:
    """Set what JAX reads from the environment, and import what every run imports."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "fdl" / "faults"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    # Programs of several CPU devices are compiled at every start; LLVM's optimization would be half of a run.
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    for name in (
        "launch",
        "fdl.modes.train",
        "fdl.modes.evaluate",
        "fdl.data.datasets.synthetic",
        "fdl.tasks",
        "fdl.models",
    ):
        importlib.import_module(name)
    for name in ("orbax.checkpoint", "tensorboardX.event_file_writer", "tensorboardX.proto.event_pb2"):
        importlib.import_module(name)
    importlib.import_module("scipy.linalg")  # JAX's initializers load it late; loaded without memory, OpenBLAS spins


def start(argv: Sequence[str], log: Path) -> int:
    """Fork a run and return its process id; what it says goes to a file."""
    from fdl.runs import signals as stop

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)  # from its first moment it answers them as a run does
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
        os.close(handle)
        return pid
    code = 70
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no run outlives the gate, frozen ones least
        os.setpgrp()  # the kernel hangs up on every process of a group with a frozen one when the gate's shell ends
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        stop.leave_on_request(tidy=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
        import launch

        code = launch.main(["launch.py", *argv])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> bool:
    """Say whether a run has ended, without waiting for it: until then its process can still be sent a signal."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def finish(pid: int, log: Path, limit: float = 600.0, watch: Awake | None = None) -> Ended:
    """Wait for a run; one that does not end within the limit, in seconds from here, hangs and is killed."""
    watch = watch or Awake()
    begun, hung = watch(), False
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if watch() - begun > limit and not hung:
            os.kill(pid, signal.SIGKILL)
            hung = True
        time.sleep(0.005)
    seconds, said = watch(), log.read_text(errors="replace")
    return Ended(os.waitstatus_to_exitcode(done[1]), said, seconds, seconds - begun, hung)


def run(argv: Sequence[str], log: Path, limit: float = 600.0) -> Ended:
    """Run to the end."""
    return finish(start(argv, log), log, limit)


def strike(argv: Sequence[str], log: Path, after: float, *signals: int, apart: float = 0.0) -> Ended:
    """Start a run, send it signals after some seconds, so many seconds apart, and wait for its end."""
    watch, pid = Awake(), start(argv, log)
    for number in signals:
        while watch() < after:
            if ended(pid):
                return finish(pid, log, watch=watch)
            time.sleep(0.002)
        os.kill(pid, number)
        after += apart
    return finish(pid, log, watch=watch)


def command(workdir: Path | str, family: str, place: str, *more: str) -> list[str]:
    """Return the flags of a run of one family in one place."""
    return [f"--experiment={PAGE}", f"--workdir={workdir}", f"--family={family}", *PLACES[place], *more]


def committed(workdir: Path) -> dict[int, dict]:
    """Return every committed step with its commit, each verified file by file."""
    from fdl.runs.checkpoints.manager import Checkpoints

    checkpoints = Checkpoints(workdir / "checkpoints")
    return {step: checkpoints.verify(step) for step in checkpoints.steps()}


def listed(workdir: Path) -> list[int]:
    """Return the committed steps of a run that is under way and may remove any of them."""
    from fdl.runs.checkpoints.manager import Checkpoints

    return Checkpoints(workdir / "checkpoints").steps()


def final(workdir: Path) -> dict[str, str]:
    """Return the digest of every leaf of the newest checkpoint."""
    steps = committed(workdir)
    return {name: leaf["digest"] for name, leaf in steps[max(steps)]["leaves"].items()}


def record(workdir: Path) -> list[dict]:
    """Return the lines of metrics.jsonl, less what is told by a clock."""
    from fdl.runs.metrics_log import CLOCKED

    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCKED} for line in lines]


def leftovers(workdir: Path) -> list[str]:
    """Return the temporary files in a run folder."""
    names = [str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.name.startswith(".")]
    return [name for name in names if name != ".lock"]


Kind = Callable[[Path, random.Random], str | None]


def each_kind(row: Row, tries: int, rng: random.Random, folder: Path, kinds: Mapping[str, Kind]) -> None:
    """Try kind after kind, each in a folder of its own: `kind(folder, rng)` says what went wrong, if anything did."""
    order = rng.sample(sorted(kinds), len(kinds))  # so that several short sittings come to all of them
    for name, kind in cycle((name, kinds[name]) for name in order):
        if row.over(tries):
            break
        place = folder / f"try{row.tries}"
        place.mkdir()
        problem = kind(place, rng)
        row.attempt(problem and f"{name}: {problem}")
        shutil.rmtree(place, ignore_errors=True)
    row.note = f"{len(kinds)} kinds: {', '.join(kinds)}"


def process(argv: Sequence[str], log: Path, *, patience: float = 120.0, **more: Any) -> Ended:
    """Run a process of its own to its end, with more arguments of Popen; what it says goes to a file."""
    with log.open("wb") as out:
        streams = {"stdout": out, "stderr": out, "stdin": subprocess.DEVNULL} | more
        child = subprocess.Popen(launched(argv), **streams)
    return wait(child, log, patience)


def launched(argv: Sequence[str]) -> list[str]:
    """Return the command of a process that runs launch.py with these flags."""
    return [sys.executable, str(ROOT / "launch.py"), *argv]


def wait(child: "subprocess.Popen[bytes]", log: Path, patience: float = 120.0) -> Ended:
    """Wait for a process; one that does not end in time hangs and is killed."""
    watch, hung = Awake(), False
    while child.poll() is None:
        if watch() > patience:
            child.kill()
            hung = True
        time.sleep(0.02)
    return Ended(child.returncode, log.read_text(errors="replace"), watch(), hung=hung)


def until(done: Callable[[], bool], patience: float = 120.0) -> bool:
    """Wait until something is so, and say whether it came to be."""
    watch = Awake()
    while not done():
        if watch() > patience:
            return False
        time.sleep(0.01)
    return True


def one_line(ended: Ended, code: int, *words: str) -> str | None:
    """Say what is wrong with a run that should have ended in one line with these words, and this exit code."""
    told = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    fine = ended.code == code and len(told) == 1 and "Traceback" not in ended.said
    return None if fine and all(word in told[0] for word in words) else f"exit {ended.code}: {ended.said[-900:]}"
