"""Signals to processes that have started others: those end as well, all is saved, the same command goes on."""

import os
import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import kills
import pairs
import runs
from runs import Row

NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL")


def sweeps(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Send a signal to a sweep at a random moment; no run is left alone, and the sweep goes on to its end."""
    wholes = []
    for rate in RATES:
        wholes.append(folder / f"whole{rate}")
        ended = runs.run(runs.command(wholes[-1], "mlp", "jit", f"--learning_rate={rate}"), folder / "log")
        assert ended.code == 0, ended.said
    kinds: dict[str, runs.Kind] = {
        f"{name} to a sweep": partial(strike, number=signal.Signals[name], wholes=wholes) for name in NAMES
    }
    kinds["SIGTERM to the run of a sweep"] = partial(strike, number=signal.SIGTERM, wholes=wholes, to="run")
    kinds["Ctrl-C in the terminal of a sweep"] = partial(strike, number=signal.SIGINT, wholes=wholes, to="group")
    for name, which in {"the first": (0,), "the second": (1,), "both, the second later": (0, 1)}.items():
        kinds[f"SIGTERM to {name} of two processes"] = partial(two, which=which)
    runs.each_kind(row, tries, rng, folder, kinds)


RATES = ("0.01", "0.02")


def two(folder: Path, rng: random.Random, which: tuple[int, ...]) -> str | None:
    """Send SIGTERM to some of two processes of one run: both save the same step and say so by their exit code."""
    workdir = folder / "run"
    both = pairs.pair(workdir, 1_000_000)
    try:
        runs.until(lambda: len(runs.listed(workdir)) > 1 or any(one.poll() is not None for one in both))
        for index in which:
            both[index].terminate()
            time.sleep(rng.uniform(0, 0.2))
        ended = [pairs.ends(one, 60) for one in both]
    finally:
        for one in both:
            one.kill()
            one.wait()
    said = [pairs.log(workdir, index).read_text() for index in range(2)]
    codes = [one.returncode for one in both]
    fine = codes == [75, 75] and None not in ended and f"at step {max(runs.committed(workdir))}:" in said[0]
    return None if fine else f"{codes}: {[text[-600:] for text in said]}"


def running(workdir: Path) -> list[int]:
    """Return the processes that work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if any(word.startswith(f"--workdir={workdir}/".encode()) for word in words):
            found.append(int(entry.name))
    return found


def strike(
    folder: Path,
    rng: random.Random,
    number: signal.Signals,
    wholes: list[Path],
    to: str = "parent",
) -> str | None:
    """Start a sweep of two runs, send a signal while one runs, wait until all have ended, and start it again."""
    workdir, log = folder / "sweep", folder / "log"
    argv = [*runs.command(workdir, "mlp", "jit"), f"--sweep=learning_rate={','.join(RATES)}"]
    with log.open("wb") as out:
        parent = subprocess.Popen(runs.launched(argv), stdout=out, stderr=out, process_group=0)
    seen = rng.choice(RATES)
    run = workdir / f"learning_rate={seen}"
    runs.until(lambda: bool(runs.listed(run)) or parent.poll() is not None)
    under_way = running(workdir)
    if to == "run":
        for pid in under_way:
            os.kill(pid, number)
    elif to == "group":
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    ended = runs.wait(parent, log, 60)
    if not runs.until(lambda: not running(workdir), 30):
        return f"left alone: {running(workdir)}"
    fine = {0, 75} if number != signal.SIGKILL else {-signal.SIGKILL}
    if ended.code not in fine or "Traceback" in ended.said or ended.hung:
        return f"exit {ended.code}: {ended.said[-900:]}"
    again = runs.process(argv, log)
    if again.code or "Traceback" in again.said:
        return f"again: exit {again.code}: {again.said[-900:]}"
    problems = [kills.compare(workdir / f"learning_rate={r}", whole) for r, whole in zip(RATES, wholes, strict=True)]
    return next(filter(None, problems), None)
