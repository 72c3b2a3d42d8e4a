"""Runs that are killed or asked to stop at random moments, until they finish: they end as if nothing had happened."""

import json
import random
import shutil
import signal
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import runs
from runs import Ended, Row

FAMILIES = ("mlp", "cnn", "lstm", "transformer")
COMBINATIONS = [(family, place) for place in runs.PLACES for family in FAMILIES]


OUTCOME = ("step", "stopped", "tested", "best_step", "metrics")  # of a report
PATIENT = ("--patience=2", "--evaluate_every=10", "--steps=2000", "--learning_rate=0.1")  # stops long before 2,000


def reference(folder: Path, family: str, place: str, *more: str) -> tuple[Path, float]:
    """Return the folder of an uninterrupted run, and how long one takes when its programs are compiled already."""
    workdir = folder / f"{family}-{place}"
    for _ in range(2 if place == "jit" else 1):  # those of several CPU devices are compiled at every start
        shutil.rmtree(workdir, ignore_errors=True)
        ended = runs.run(runs.command(workdir, family, place, *more), folder / "log")
        assert ended.code == 0, ended.said
        report = json.loads((workdir / "report.json").read_text())
        assert bool(report["stopped"]) == ("--patience=2" in more), report["step"]
    return workdir, ended.seconds


def compare(workdir: Path, whole: Path) -> str | None:
    """Say in what a finished run differs from the uninterrupted one."""
    if runs.final(workdir) != runs.final(whole):
        return "the final state differs"
    reports = [json.loads((path / "report.json").read_text()) for path in (workdir, whole)]
    ended, expected = ({key: report[key] for key in OUTCOME} for report in reports)
    if ended != expected:
        return f"it ended as {ended}, not as {expected}"
    ours, theirs = runs.record(workdir), runs.record(whole)
    if ours != theirs:
        first = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
        return f"the record differs, in {len(ours)} lines of {len(theirs)}, first: {first}"
    return f"leftovers {left}" if (left := runs.leftovers(workdir)) else None


def kill(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Kill runs of every combination in turn until `tries` kills have hit."""
    interrupt(row, tries, rng, folder, lambda: (signal.SIGKILL,))
    row.worst = None  # nobody waits for a killed process


def kill_patient(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Kill runs with patience: each stops at the step of the uninterrupted one, and has tested the same state."""
    interrupt(row, tries, rng, folder, lambda: (signal.SIGKILL,), *PATIENT)
    row.worst = None


def stop(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Ask runs to stop by SIGTERM, SIGINT or SIGHUP; half of those that get Ctrl-C get it twice."""
    drawn: list[tuple[signal.Signals, ...]] = []

    def draw() -> tuple[signal.Signals, ...]:
        sent = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
        drawn.append((sent, sent) if sent is signal.SIGINT and rng.random() < 0.5 else (sent,))
        return drawn[-1]

    interrupt(row, tries, rng, folder, draw)
    row.note += f"; {sum(len(sent) > 1 for sent in drawn)} times Ctrl-C twice"


def interrupt(
    row: Row, tries: int, rng: random.Random, folder: Path, draw: Callable[[], tuple[signal.Signals, ...]], *more: str
) -> None:
    """Send runs of every combination in turn the drawn signals at random moments, until each finishes.

    more: flags of all of them.
    """
    finished = 0
    wholes: dict[tuple[str, str], tuple[Path, float]] = {}
    first = rng.randrange(len(COMBINATIONS))
    for family, place in cycle(COMBINATIONS[first:] + COMBINATIONS[:first]):
        if row.over(tries):
            break
        if (family, place) not in wholes:
            wholes[family, place] = reference(folder, family, place, *more)
        whole, seconds = wholes[family, place]
        workdir, newest = folder / "run", -1
        shutil.rmtree(workdir, ignore_errors=True)
        argv = runs.command(workdir, family, place, *more)
        for number in range(8):  # the eighth start is let through
            sent, after = (draw(), rng.uniform(0.05, seconds)) if number < 7 else ((), 0.0)
            ended = runs.strike(argv, folder / "log", after, *sent, apart=rng.uniform(0, 0.3))
            steps = sorted(runs.committed(workdir)) if workdir.exists() else []
            problem = judge(ended, sent, newest, steps) or (compare(workdir, whole) if ended.code == 0 else None)
            newest = max(steps, default=-1)
            if ended.code != 0:
                row.attempt(problem and f"{family} {place}: {problem}", ended.late)
            elif problem:
                row.fail(f"{family} {place}: {problem}")
            if ended.code == 0:
                finished += 1
                break
    row.note = f"{finished} runs finished, in {len(wholes)} combinations of family and executor, each compared"


def judge(ended: Ended, sent: tuple[signal.Signals, ...], newest: int, steps: list[int]) -> str | None:
    """Say what is wrong with how a run ended that was sent these signals, given the newest step before and all now."""
    asked = sent and signal.SIGKILL not in sent
    fine = {0, 75} if asked else {0, *(-number for number in sent)}
    if len(sent) > 1:
        fine.add(-signal.SIGINT)
    last = max(steps, default=-1)
    if ended.hung:
        return f"{sent}: it hangs: {ended.said[-300:]}"
    if last < newest:
        return f"{sent}: step {newest} was lost, {steps} are left"
    if ended.code not in fine:
        return f"{sent}: exit {ended.code}: {ended.said[-600:]}"
    if "Traceback" in ended.said:
        return f"{sent}: a traceback: {ended.said[-600:]}"
    if "everything is saved" in ended.said and f"at step {last}:" not in ended.said:
        return f"{sent}: {steps} are saved after {ended.said.splitlines()[-1]!r}"
    return None
