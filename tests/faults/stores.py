"""Runs on an object store that are killed, each time to go on from the store alone on an empty machine."""

import os
import random
import shutil
import signal
import traceback
from itertools import cycle
from pathlib import Path

import kills
import runs
import s3_server
from runs import Row

FAMILIES = ("mlp", "cnn", "lstm", "transformer")
BEAT, SILENCE = 0.5, 2.0  # of the lease, in place of a minute: the next start waits for it after each kill


def kill(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Kill runs on moto's S3 server at random moments; each end is that of a run that was left alone, in a folder."""
    from fdl.runs.stores import lease

    lease.BEAT, lease.SILENCE = BEAT, SILENCE  # the runs are forks of this process
    with s3_server.serving() as port:
        os.environ |= {**s3_server.environment(port), "FDL_CACHE": str(folder / "cache")}
        finished, largest = 0, 0
        wholes: dict[str, tuple[Path, float]] = {}
        for number, family in enumerate(cycle(FAMILIES)):
            if row.over(tries):
                break
            if family not in wholes:
                workdir, _ = kills.reference(folder, family, "jit")
                wholes[family] = workdir, _undisturbed(folder, family)
            starts = _until_it_finishes(
                row, rng, folder, f"s3://{s3_server.BUCKET}/run{number}", family, *wholes[family]
            )
            finished, largest = finished + bool(starts), max(largest, starts)
    row.note = (
        f"{finished} runs finished, in up to {largest} starts, each compared; an empty machine at every start, "
        "and the store read by another after every kill"
    )


def _undisturbed(folder: Path, family: str) -> float:
    """Return how many seconds a run on the store takes that nobody kills."""
    _empty_machine(folder)
    ended = runs.run(runs.command(f"s3://{s3_server.BUCKET}/{family}", family, "jit"), folder / "log")
    assert ended.code == 0, ended.said
    return ended.seconds


def _until_it_finishes(
    row: Row, rng: random.Random, folder: Path, address: str, family: str, whole: Path, seconds: float
) -> int:
    """Start and kill one run until it finishes; return the number of starts, 0 where something went wrong."""
    argv = runs.command(address, family, "jit")
    newest = -1
    for number in range(8):  # the eighth start is let through
        _empty_machine(folder)
        sent = (signal.SIGKILL,) if number < 7 else ()
        ended = runs.strike(argv, folder / "log", rng.uniform(0.05, seconds + (SILENCE if number else 0)), *sent)
        seen = folder / "seen"
        steps = _read(address, seen)
        problem = kills.judge(ended, sent, newest, steps) or (kills.compare(seen, whole) if ended.code == 0 else None)
        newest = max(steps, default=-1)
        if ended.code != 0:
            row.attempt(problem and f"{family}: {problem}")
        elif problem:
            row.fail(f"{family}: {problem}")
        if ended.code == 0 or problem:
            return 0 if problem else number + 1
    return 0


def _empty_machine(folder: Path) -> None:
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _read(address: str, folder: Path) -> list[int]:
    """Fetch a run into an empty folder, in a fork; return its steps, each verified file by file."""
    from fdl.runs.stores.mirror import Mirror
    from fdl.runs.stores.store import Store

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    pid = os.fork()
    if not pid:
        try:
            Mirror(Store(address), folder).pull()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, f"{address} cannot be read"
    return sorted(runs.committed(folder))
