"""Hours of faults at random: every kind in turn hits run after run, beside one long run that is frozen and thawed."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from statistics import median

import damage
import disks
import kills
import runs
from runs import Row

MINUTES = 120
BREATH = 4.0  # seconds of the long run between two faults
KINDS = ("kill", "stop", "freeze", "twice", "damage", "full")


class Steady:
    """One run that never ends: what it holds of memory and file descriptors is looked at whenever it is frozen again.

    It evaluates every 20 steps and saves every 10, so that an hour of it is many thousands of each.
    """

    def __init__(self, folder: Path):
        self.workdir, self.log = folder / "steady", folder / "steady-log"
        self.pid = runs.start(runs.command(self.workdir, "cnn", "jit", "--steps=100000000"), self.log)
        self.seen: list[tuple[float, int]] = []

    def breathe(self, seconds: float) -> str | None:
        """Let it run for some seconds, freeze it and look at it; say what is wrong, if anything is."""
        os.kill(self.pid, signal.SIGCONT)
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGSTOP)
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            return f"the long run ended: {self.log.read_text()[-300:]}"
        self.seen.append(held(self.pid))
        return None

    def end(self) -> str | None:
        """Stop it as a user would; say what is wrong, if anything is."""
        os.kill(self.pid, signal.SIGCONT)
        os.kill(self.pid, signal.SIGTERM)
        ended = runs.finish(self.pid, self.log)
        steps = sorted(runs.committed(self.workdir))
        return kills.judge(ended, (signal.SIGTERM,), 1, steps)


def held(pid: int | str = "self") -> tuple[float, int]:
    """Return the megabytes and the file descriptors that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{pid}/fd"))


def growth(seen: list[tuple[float, int]]) -> tuple[str, bool]:
    """Return what a process held in the second and in the last quarter of its life, and whether that is flat."""
    quarter = max(len(seen) // 4, 1)
    (early, files), (late, more) = (
        (median(x[0] for x in part), max(x[1] for x in part)) for part in (seen[quarter : 2 * quarter], seen[-quarter:])
    )
    return f"{early:.0f} -> {late:.0f} MB, {files} -> {more} files", late <= early * 1.05 + 5 and more <= files


def soak(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Hurt runs in every way until the time is up; each goes on to its end and equals one that was left alone."""
    row.until = min(row.until, time.monotonic() + 60 * MINUTES)
    begun, told, counts, finished = time.monotonic(), 0.0, Counter[str](), 0
    wholes: dict[tuple[str, str], tuple[Path, float]] = {}
    steady, own, victim = Steady(folder), [held()], None
    while not row.over(tries):
        if problem := steady.breathe(BREATH):
            row.fail(problem)
            return
        own.append(held())
        kind = rng.choice(KINDS)
        pair = ("mlp", "jit") if kind == "full" else rng.choice(kills.COMBINATIONS)
        if pair not in wholes:
            wholes[pair] = kills.reference(folder, *pair)
        if kind == "full":
            problem, over = fill(folder, rng, wholes[pair][0]), False
        else:
            if victim is None:
                shutil.rmtree(folder / "run", ignore_errors=True)
                victim = Victim(folder, *pair, *wholes[pair])  # type: ignore[call-arg]
            problem, over = victim.hurt(kind, rng)
            finished += over
            if over or problem:
                victim = None
        counts[kind] += 1
        row.attempt(problem and f"{kind}: {problem}")
        if time.monotonic() - begun - told > 300:
            told = time.monotonic() - begun
            print(
                f"{told / 60:.0f} min: {row.tries} faults, {len(row.failures)} failures, long run at step "
                f"{last(steady)}: {growth(steady.seen)[0]}; driver: {growth(own)[0]}",
                flush=True,
            )
    if problem := steady.end():
        row.fail(problem)
    for name, seen in (("long run", steady.seen), ("driver", own)):
        said, flat = growth(seen)
        if not flat:
            row.fail(f"the {name} grows: {said}")
        row.note += f"{name} {said}; "
    hurts = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    row.note += f"{(time.monotonic() - begun) / 60:.0f} minutes by the clock: {hurts}; "
    row.note += f"{finished} runs finished and compared; the long run made {last(steady)} steps"


def last(steady: Steady) -> int:
    """Return the newest step of the long run, frozen or ended."""
    return max(runs.committed(steady.workdir), default=0)


def fill(folder: Path, rng: random.Random, whole: Path) -> str | None:
    """Run on a disk that is too small, then with room; say what went wrong, if anything did."""
    few = disks.limit(rng, whole)
    with disks.small(folder / "disk", few) as disk:
        return disks.attempt(disk, folder / "log", whole, few)


class Victim:
    """A run that is hurt again and again until it has finished."""

    def __init__(self, folder: Path, family: str, place: str, whole: Path, seconds: float):
        self.workdir, self.log, self.whole, self.seconds = folder / "run", folder / "log", whole, seconds
        self.argv = runs.command(self.workdir, family, place)
        self.newest = -1

    def hurt(self, kind: str, rng: random.Random) -> tuple[str | None, bool]:
        """Start it, hurt it in one way and return what went wrong, if anything did, and whether it has finished."""
        after, named = rng.uniform(0.05, self.seconds), ""
        sent: tuple[signal.Signals, ...] = ()
        if kind == "twice":
            return self.twice(after)
        if kind == "kill":
            sent = (signal.SIGKILL,)
        elif kind == "stop":
            sent = (rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]),)
        elif kind == "freeze":
            sent = (signal.SIGSTOP, signal.SIGCONT)
        elif len(steps := sorted(runs.committed(self.workdir)) if self.workdir.exists() else []) > 1:
            here = self.workdir / "checkpoints" / str(steps[-1])
            damage.damage(rng.choice(sorted(path for path in here.rglob("*") if path.is_file())), rng)
            named, self.newest = str(here), steps[-2]
        ended = runs.strike(self.argv, self.log, after, *sent, apart=rng.uniform(0.1, 2))
        steps = sorted(runs.committed(self.workdir)) if self.workdir.exists() else []
        problem = kills.judge(ended, sent, self.newest, steps)
        if named and named not in ended.said:
            problem = problem or f"{named} is damaged and not named: {ended.said[-300:]}"
        self.newest = max(steps, default=-1)
        if ended.code == 0:
            problem = problem or kills.compare(self.workdir, self.whole)
        return problem, ended.code == 0

    def twice(self, after: float) -> tuple[str | None, bool]:
        """Start a second run beside it; the second leaves, the first is stopped."""
        first = runs.start(self.argv, self.log)
        time.sleep(after)
        other = self.log.with_name("log2")
        second = runs.run(self.argv, other)
        os.kill(first, signal.SIGTERM)
        ended = runs.finish(first, self.log)
        steps = sorted(runs.committed(self.workdir))
        problem = kills.judge(ended, (signal.SIGTERM,), self.newest, steps)
        self.newest = max(steps, default=-1)
        turned_away = second.code == 2 and "is in use by" in second.said
        if not (turned_away or (second.code == 0 and ended.code == 0)):
            problem = problem or f"the second: {second}"
        if ended.code == 0:
            problem = problem or kills.compare(self.workdir, self.whole)
        return problem, ended.code == 0
