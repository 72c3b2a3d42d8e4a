"""Clocks that are set, files that are copied or touched, disks that wait: no cost is told that nobody paid."""

import json
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import kills
import runs
import shims
from runs import Row

DAY, YEAR = 86_400, 31_536_000


def clocks(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Stop runs, set the clock or the files' times, and let them go on: no more is lost than the time taken."""
    whole, seconds = kills.reference(folder, "mlp", "jit")
    shim = shims.built(folder)
    kinds: dict[str, runs.Kind] = {
        "files a year ahead": partial(again, whole=whole, seconds=seconds, change=partial(touch, by=YEAR)),
        "files a year old": partial(again, whole=whole, seconds=seconds, change=partial(touch, by=-YEAR)),
        "a copy": partial(again, whole=whole, seconds=seconds, change=copy),
    }
    if shim:
        kinds |= {
            "a clock set a day ahead": partial(again, whole=whole, seconds=seconds, env=shims.clock(shim, DAY)),
            "a clock set a day back": partial(again, whole=whole, seconds=seconds, env=shims.clock(shim, -DAY)),
            "a clock of a year ago": partial(again, whole=whole, seconds=seconds, env=shims.clock(shim, -YEAR)),
        }
    runs.each_kind(row, tries, rng, folder, kinds)


def touch(workdir: Path, by: int) -> None:
    """Set the times of all files."""
    for path in workdir.rglob("*"):
        os.utime(path, (time.time() + by, time.time() + by))


def copy(workdir: Path) -> None:
    """Put a fresh copy in its place."""
    shutil.copytree(workdir, workdir.with_name("copy"))
    shutil.rmtree(workdir)
    workdir.with_name("copy").rename(workdir)


def again(
    folder: Path, rng: random.Random, whole: Path, seconds: float, change=lambda _: None, env: dict | None = None
) -> str | None:
    """Stop or kill a run, change something, go on, and look at what it says was lost."""
    workdir, log, begun = folder / "run", folder / "log", time.monotonic()
    argv = runs.command(workdir, "mlp", "jit")
    runs.strike(argv, log, rng.uniform(0.3, 1) * seconds, rng.choice([signal.SIGTERM, signal.SIGKILL]))
    if workdir.exists():
        change(workdir)
    ended = runs.process(argv, log, env=env and os.environ | env)
    took = time.monotonic() - begun
    if ended.code or "Traceback" in ended.said:
        return f"exit {ended.code}: {ended.said[-600:]}"
    lost = json.loads((workdir / "report.json").read_text())["lost_seconds"]
    problem = None if 0 <= lost <= took else f"{lost} s are said to be lost of {took:.1f}"
    return problem or kills.compare(workdir, whole)
