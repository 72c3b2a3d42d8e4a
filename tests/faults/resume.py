"""How long a killed run takes to go on: from the start of a new process to its first steps, all programs compiled."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import runs
from runs import Row

BAR = 15.0
FAMILIES = ("mlp", "cnn", "lstm", "transformer")


def resume(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Kill real processes and start them again, family after family."""
    for family in FAMILIES:  # compile once
        shutil.rmtree(folder / "run", ignore_errors=True)
        go(folder, family, 2)
    while not row.over(tries):
        family = FAMILIES[row.tries % len(FAMILIES)]
        shutil.rmtree(folder / "run", ignore_errors=True)
        go(folder, family, 2)
        seconds = go(folder, family, 1)
        row.attempt(f"{family}: {seconds:.1f} s" if seconds > BAR else None, seconds)
    row.note = "a new process, imports and restoring included, until its first steps are done, programs compiled before"


def go(folder: Path, family: str, saves: int) -> float:
    """Start a run, kill it after some more saves, and return how long it took to its first steps."""
    workdir, begun = folder / "run", time.time()
    before = max(runs.listed(workdir), default=0)
    argv = runs.command(workdir, family, "jit", "--steps=1000000")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, str(runs.ROOT / "launch.py"), *argv], stdout=log, stderr=log)
        try:
            while max(runs.listed(workdir), default=0) < before + 10 * saves:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    last = json.loads((workdir / "starts.json").read_text())[-1]
    return last["at"] + last["starting"] - begun
