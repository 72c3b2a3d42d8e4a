"""Two runs on one folder: one runs, the other leaves and names the first."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import runs
from runs import Row

BAR = 2.0


def twice(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Start runs on a folder that one runs in, as a process of its own each time; every third time both at once."""
    while not row.over(tries):
        workdir = folder / "run"
        shutil.rmtree(workdir, ignore_errors=True)
        argv = runs.command(workdir, rng.choice(["mlp", "lstm"]), "jit", "--steps=1000000")
        if row.tries % 3 == 2:
            row.attempt(at_once(argv, folder))
            continue
        first = runs.start(argv, folder / "log")
        lock = workdir / ".lock"
        while not (lock.exists() and "pid" in lock.read_text()):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))
        begun = time.monotonic()
        second = subprocess.run([sys.executable, str(runs.ROOT / "launch.py"), *argv], capture_output=True, text=True)
        seconds = time.monotonic() - begun
        named = f"in use by pid {first} on {socket.gethostname()}" in second.stderr
        alive = os.waitpid(first, os.WNOHANG)[0] == 0
        problem = None if (second.returncode, named, alive) == (2, True, True) else f"{second} {alive=}"
        row.attempt(problem or (f"the second took {seconds:.2f} s to leave" if seconds > BAR else None), seconds)
        if alive:
            runs.finish(first, folder / "log", limit=0)
    row.note = "worst: until the second has left, JAX not yet imported; each first is killed and its lock goes with it"


def at_once(argv: list[str], folder: Path) -> str | None:
    """Start two at the same moment: one is turned away, the other lives until it is stopped."""
    pids = {runs.start(argv, folder / f"log{i}"): folder / f"log{i}" for i in range(2)}
    gone, status = os.wait()
    ended = (os.waitstatus_to_exitcode(status), pids.pop(gone).read_text())
    ((other, log),) = pids.items()
    os.kill(other, signal.SIGTERM)
    left = runs.finish(other, log)
    fine = ended[0] == 2 and "is in use by" in ended[1] and left.code == 75
    return None if fine else f"at once: {ended} and {left}"
