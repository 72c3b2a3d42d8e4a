"""Disks that fill up, in bytes or files: a run ends with one line, keeps what it had, goes on once there is room."""

import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kills
import runs
from runs import Row


def can_mount(folder: Path) -> bool:
    """Say whether a file system can be mounted here."""
    try:
        with small(folder / "trial", "size=8192"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextlib.contextmanager
def small(folder: Path, limit: str) -> Iterator[Path]:
    """Mount a small file system in memory; needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "fdl-faults", str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def limit(rng: random.Random, whole: Path) -> str:
    """Draw a number of bytes or of files that is sometimes too few for a run like this one."""
    need = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    if rng.random() < 0.4:
        return f"nr_inodes={rng.randint(4, sum(1 for _ in whole.rglob('*')) + 12)}"
    return f"size={rng.randint(4096, int(need * 1.6))}"


def fill(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Run on a file system that is too small, then give it room and run the same command again."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    row.note = "tmpfs with few bytes or few inodes"
    while not row.over(tries):
        few = limit(rng, whole)
        try:
            with small(folder / "disk", few) as disk:
                row.attempt(attempt(disk, folder / "log", whole, few))
        except (OSError, subprocess.CalledProcessError) as error:
            row.note = f"not run: no file system can be mounted here ({error})"
            return


def attempt(disk: Path, log: Path, whole: Path, limit: str) -> str | None:
    """Return what went wrong on this file system, if anything did."""
    workdir = disk / "run"
    argv = runs.command(workdir, "mlp", "jit")
    full = runs.run(argv, log)
    steps = sorted(runs.committed(workdir)) if workdir.exists() else []
    if full.code not in (0, 1):
        return f"{limit}: exit {full.code}: {full.said[-300:]}"
    if full.code == 1 and ("Traceback" in full.said or "error: " not in full.said):
        return f"{limit}: not one line: {full.said[-1500:]}"
    if left := runs.leftovers(workdir):
        return f"{limit}: left {left}"
    subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=100000", str(disk)], check=True)
    again = runs.run(argv, log)
    if again.code != 0:
        return f"{limit}: with room, exit {again.code}: {again.said[-300:]}"
    if steps and f"goes on from step {steps[-1]}" not in again.said and "finished already" not in again.said:
        return f"{limit}: with room, did not go on from {steps}: {again.said[-300:]}"
    with contextlib.suppress(FileNotFoundError):
        return (problem := kills.compare(workdir, whole)) and f"{limit}: {problem}"
    return f"{limit}: no run is left"
