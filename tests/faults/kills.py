"""Runs that are killed or asked to stop at random moments, until they finish: they end as if nothing had happened."""

import random
import shutil
import signal
from itertools import cycle
from pathlib import Path

import runs
from runs import Row

FAMILIES = ("mlp", "cnn", "lstm", "transformer")
COMBINATIONS = [(family, place) for place in runs.PLACES for family in FAMILIES]


def reference(folder: Path, family: str, place: str) -> tuple[Path, float]:
    """Return the folder of an uninterrupted run, and how long it took."""
    workdir = folder / f"{family}-{place}"
    ended = runs.run(runs.command(workdir, family, place), folder / "log")
    assert ended.code == 0, ended.said
    return workdir, ended.seconds


def compare(workdir: Path, whole: Path) -> str | None:
    """Say in what a finished run differs from the uninterrupted one."""
    if runs.final(workdir) != runs.final(whole):
        return "the final state differs"
    ours, theirs = runs.record(workdir), runs.record(whole)
    if ours != theirs:
        first = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
        return f"the record differs, in {len(ours)} lines of {len(theirs)}, first: {first}"
    return f"leftovers {left}" if (left := runs.leftovers(workdir)) else None


def kill(row: Row, tries: int, rng: random.Random, folder: Path, combinations=COMBINATIONS) -> None:
    """Kill runs of every combination in turn until `tries` kills have hit."""
    finished = 0
    wholes: dict[tuple[str, str], tuple[Path, float]] = {}
    for family, place in cycle(combinations):
        if row.over(tries):
            break
        if (family, place) not in wholes:
            wholes[family, place] = reference(folder, family, place)
        whole, seconds = wholes[family, place]
        workdir, newest = folder / "run", -1
        shutil.rmtree(workdir, ignore_errors=True)
        argv = runs.command(workdir, family, place)
        for number in range(8):  # the eighth start is let through
            after = rng.uniform(0, seconds) if number < 7 else 1e9
            ended = runs.strike(argv, folder / "log", after, signal.SIGKILL)
            steps = runs.committed(workdir) if workdir.exists() else {}
            problem = None
            if max(steps, default=-1) < newest:
                problem = f"{family} {place}: step {newest} was lost, {sorted(steps)} are left"
            elif ended.code not in (0, -signal.SIGKILL):
                problem = f"{family} {place}: exit {ended.code}: {ended.said[-300:]}"
            newest = max(steps, default=-1)
            if ended.code == -signal.SIGKILL or problem:
                row.attempt(problem)
            if ended.code == 0:
                finished += 1
                if problem := compare(workdir, whole):
                    row.failures.append(f"{family} {place}: {problem}")
                    print(row.failures[-1], flush=True)
                break
    row.note = f"{finished} runs finished, in {len(wholes)} combinations of family and executor, each compared"


def stop(row: Row, tries: int, rng: random.Random, folder: Path, combinations=COMBINATIONS) -> None:
    """Ask runs to stop by SIGTERM, SIGINT or SIGHUP, half of the interrupted ones twice by Ctrl-C."""
    finished = 0
    wholes: dict[tuple[str, str], tuple[Path, float]] = {}
    for family, place in cycle(combinations):
        if row.over(tries):
            break
        if (family, place) not in wholes:
            wholes[family, place] = reference(folder, family, place)
        whole, seconds = wholes[family, place]
        workdir, newest = folder / "run", -1
        shutil.rmtree(workdir, ignore_errors=True)
        argv = runs.command(workdir, family, place)
        for number in range(8):
            after = rng.uniform(0.05, seconds) if number < 7 else 1e9
            sent = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
            ended = runs.strike(argv, folder / "log", after, sent)
            steps = runs.committed(workdir) if workdir.exists() else {}
            problem = None
            if max(steps, default=-1) < newest:
                problem = f"step {newest} was lost"
            elif ended.code not in (0, 75):
                problem = f"{sent.name}: exit {ended.code}: {ended.said[-300:]}"
            elif "everything is saved" in ended.said and f"at step {max(steps, default=-1)}:" not in ended.said:
                problem = f"{sorted(steps)} are saved after {ended.said.splitlines()[-1]!r}"
            elif ended.code == 75 and "Traceback" in ended.said:
                problem = f"a traceback: {ended.said[-600:]}"
            newest = max(steps, default=-1)
            if after < 1e9 and ended.code != 0:
                row.attempt(f"{family} {place}: {problem}" if problem else None, ended.seconds - after)
            elif problem:
                row.attempt(f"{family} {place}: {problem}")
            if ended.code == 0:
                finished += 1
                if problem := compare(workdir, whole):
                    row.failures.append(f"{family} {place}: {problem}")
                    print(row.failures[-1], flush=True)
                break
    row.note = f"{finished} runs finished, in {len(wholes)} combinations of family and executor, each compared"
