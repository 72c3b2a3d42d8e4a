"""Run folders that go, come back as another's, or hold what another run saved, while a run is in them."""

import os
import random
import shutil
import signal
from functools import partial
from pathlib import Path

import kills
import runs
from runs import Row

GONE = ("was removed, replaced or taken", "the same command")


def vanish(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Take folders away under living runs: nothing more is written there, and no weights of another run are read."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    other = folder / "other"
    assert runs.run(runs.command(other, "mlp", "jit", "--learning_rate=0.02"), folder / "log").code == 0
    runs.each_kind(
        row,
        tries,
        rng,
        folder,
        {
            "removed": removed,
            "replaced by another learning rate's run": partial(replaced, whole=whole),
            "moved away, to go on there": moved,
            "a step of another run, trained on": partial(foreign, whole=whole, other=other, mode="train"),
            "a step of another run, evaluated": partial(foreign, whole=whole, other=other, mode="evaluate"),
        },
    )


def begin(folder: Path, rng: random.Random, *more: str) -> tuple[int, Path]:
    """Start a long run and let it save something; return its process and its folder."""
    workdir = folder / "run"
    pid = runs.start(runs.command(workdir, "mlp", "jit", "--steps=1000000", *more), folder / "log")
    assert runs.until(lambda: bool(runs.listed(workdir))), (folder / "log").read_text()
    runs.until(lambda: rng.random() < 0.05)
    return pid, workdir


def take(workdir: Path) -> None:
    """Remove a folder as `rm -rf` does, again where the run has made something in it meanwhile."""
    while workdir.exists():
        shutil.rmtree(workdir, ignore_errors=True)


def removed(folder: Path, rng: random.Random) -> str | None:
    """Remove it."""
    pid, workdir = begin(folder, rng)
    take(workdir)
    ended = runs.finish(pid, folder / "log", 60)
    left = [str(path) for path in workdir.rglob("*")] if workdir.exists() else []
    return runs.one_line(ended, 1, *GONE) or (f"left {left}" if left else None)


def replaced(folder: Path, rng: random.Random, whole: Path) -> str | None:
    """Remove it and start the same command with another learning rate at once."""
    pid, workdir = begin(folder, rng, "--learning_rate=0.3")
    take(workdir)
    second = runs.start(runs.command(workdir, "mlp", "jit"), folder / "log2")
    ended = runs.finish(pid, folder / "log", 60)
    problem = runs.one_line(ended, 1, *GONE)
    later = runs.finish(second, folder / "log2")
    problem = problem or (f"the second: {later}" if later.code else None)
    return problem or kills.compare(workdir, whole)


def moved(folder: Path, rng: random.Random) -> str | None:
    """Move it; the run ends, and goes on where the folder is now."""
    pid, workdir = begin(folder, rng)
    elsewhere = folder / "elsewhere"
    workdir.rename(elsewhere)
    if problem := runs.one_line(runs.finish(pid, folder / "log", 60), 1, *GONE):
        return problem
    step = max(runs.committed(elsewhere))
    again = runs.start(runs.command(elsewhere, "mlp", "jit", "--steps=1000000"), folder / "log")
    runs.until(lambda: max(runs.listed(elsewhere), default=0) > step)
    os.kill(again, signal.SIGTERM)
    ended = runs.finish(again, folder / "log")
    return None if ended.code == 75 and f"goes on from step {step}" in ended.said else f"going on: {ended}"


def foreign(folder: Path, rng: random.Random, whole: Path, other: Path, mode: str) -> str | None:
    """Put a whole step of another run into its checkpoints."""
    workdir = folder / "run"
    shutil.copytree(whole, workdir)
    (workdir / "report.json").unlink()
    newest = max(runs.committed(workdir))
    shutil.rmtree(workdir / "checkpoints" / str(newest))
    shutil.copytree(other / "checkpoints" / str(newest), workdir / "checkpoints" / str(newest))
    ended = runs.run(runs.command(workdir, "mlp", "jit", f"--mode={mode}"), folder / "log")
    return runs.one_line(ended, 1, str(workdir / "checkpoints" / str(newest)), "saved by another run")
