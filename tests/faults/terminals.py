"""Terminals, pipes and logs that go away while a run speaks: it runs to its end, and its exit code is its own."""

import contextlib
import os
import pty
import random
import signal
import subprocess
from functools import partial
from pathlib import Path

import kills
import runs
from runs import Row

SHELLS = {
    "the reader of both outputs leaves after a line": "{} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}",
    "the reader of standard output leaves at once": "{} | true; exit ${{PIPESTATUS[0]}}",
    "the reader of standard error leaves at once": "{} 2> >(true)",
    "all three streams are closed": "exec {} <&- >&- 2>&-",
    "standard output is closed": "exec {} >&-",
    "logs on a full disk": "exec {} >/dev/full 2>/dev/full",
    "a tee that is killed": "{} 2>&1 | (tee /dev/null & sleep 1; kill -9 $!); exit ${{PIPESTATUS[0]}}",
}


def leave(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Start runs in every such way; each finishes and equals one that was read to its end."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    kinds: dict[str, runs.Kind] = {name: partial(shell, line=line, whole=whole) for name, line in SHELLS.items()}
    kinds |= {
        "a terminal that is closed": partial(terminal, whole=whole, controlling=False),
        "a terminal that hangs up": partial(terminal, whole=whole, controlling=True),
    }
    runs.each_kind(row, tries, rng, folder, kinds)


def shell(folder: Path, rng: random.Random, line: str, whole: Path) -> str | None:
    """Start a run from a shell's line."""
    argv = runs.command(folder / "run", "mlp", "jit")
    ended = runs.wait(_bash(line.format(subprocess.list2cmdline(runs.launched(argv))), folder / "log"), folder / "log")
    problem = None if ended.code == 0 and not ended.hung else f"exit {ended.code}: {ended.said[-600:]}"
    return problem or kills.compare(folder / "run", whole)


def _bash(line: str, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(["bash", "-c", line], stdout=out, stderr=out, stdin=subprocess.DEVNULL)


def terminal(folder: Path, rng: random.Random, whole: Path, controlling: bool) -> str | None:
    """Start a run on a terminal and close that; where it is the controlling one, the kernel hangs up on the run."""
    ours, theirs = pty.openpty()
    steps = "--steps=120" if not controlling else "--steps=1000000"
    argv = runs.launched(runs.command(folder / "run", "mlp", "jit", steps))
    command = ["setsid", "--ctty", "--wait", *argv] if controlling else argv
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.set_blocking(ours, False)

    def running() -> bool:
        with contextlib.suppress(OSError):
            os.read(ours, 65536)  # so that it never waits for a reader
        return bool(runs.listed(folder / "run")) or child.poll() is not None

    runs.until(running)
    os.close(ours)
    if not runs.until(lambda: child.poll() is not None):
        child.kill()
        return "it hangs"
    code, steps_saved = child.returncode, sorted(runs.committed(folder / "run"))
    if controlling:
        return None if code in (75, -signal.SIGHUP) and steps_saved else f"exit {code}, saved {steps_saved}"
    return (f"exit {code}" if code else None) or kills.compare(folder / "run", whole)
