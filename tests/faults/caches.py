"""Caches that are damaged, full, read-only or left by killed processes: one line, the same numbers, and mended."""

import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np

import disks
import runs
from runs import Row


def break_caches(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Break the cache of decoded sets and that of compiled programs before a run, in every way."""
    data = folder / "pictures"
    pictures(data)
    whole, cache = folder / "whole", folder / "cache"
    ended = runs.process(argv(whole, data), folder / "log", env=environment(cache))
    assert ended.code == 0, ended.said
    again = partial(broken, data=data, whole=whole, cache=cache)
    decoded: dict[str, runs.Kind] = {
        f"a decoded set: {name}": partial(again, hurt=hurt, told="is decoded again") for name, hurt in DECODED.items()
    }
    programs: dict[str, runs.Kind] = {
        f"programs: {name}": partial(again, hurt=hurt, told="is compiled again") for name, hurt in PROGRAMS.items()
    }
    cramped = partial(small, data=data, whole=whole)
    mounted: dict[str, runs.Kind] = {
        "a full disk under the cache": partial(cramped, limit="size=8192"),
        "few inodes under the cache": partial(cramped, limit="nr_inodes=3"),
        "a read-only cache": partial(cramped, limit="size=8m", read_only=True),
    }
    kinds = decoded | programs | {"killed while decoding": partial(killed, data=data, whole=whole)}
    runs.each_kind(row, tries, rng, folder, kinds | (mounted if disks.can_mount(folder) else {}))


def pictures(folder: Path) -> None:
    """Make two classes of small pictures."""
    from PIL import Image

    random_numbers = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            pixels = random_numbers.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def argv(workdir: Path, data: Path) -> list[str]:
    """Return the flags of a run on these pictures, decoded once."""
    page = ["--experiment=image", f"--dataset={data}", "--model=mlp"]
    return [*page, "--epochs=2", "--feed=resident", f"--workdir={workdir}"]


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a process with its caches there."""
    kept = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    return kept | {"FDL_CACHE": str(cache)}


def files(cache: Path, pattern: str) -> list[Path]:
    """Return the files of a cache, in order."""
    return sorted(path for path in cache.rglob(pattern) if path.is_file())


def flip(file: Path) -> None:
    """Change a bit of what a file ends in."""
    data = bytearray(file.read_bytes())
    data[-7] ^= 16
    file.write_bytes(data)


def cut(file: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(file, file.stat().st_size // 2)


def junk(file: Path) -> None:
    """Write something else over a file."""
    file.write_bytes(random.Random(0).randbytes(500))


DECODED = {
    "a bit of an array": lambda cache: flip(files(cache, "0.npy")[0]),
    "an array cut short": lambda cache: cut(files(cache, "0.npy")[0]),
    "junk as an array": lambda cache: junk(files(cache, "1.npy")[0]),
    "no digests": lambda cache: files(cache, "digests.json")[0].unlink(),
    "an array gone": lambda cache: files(cache, "0.npy")[-1].unlink(),
}
PROGRAMS = {
    "cut short, all of them": lambda cache: [cut(file) for file in files(cache, "*-cache")],
    "junk, all of them": lambda cache: [junk(file) for file in files(cache, "*-cache")],
    "empty, all of them": lambda cache: [os.truncate(file, 0) for file in files(cache, "*-cache")],
}


def same(workdir: Path, whole: Path) -> str | None:
    """Say in what a run differs from the first."""
    return None if runs.final(workdir) == runs.final(whole) else "the final state differs"


def broken(folder: Path, rng: random.Random, data: Path, whole: Path, cache: Path, hurt, told: str) -> str | None:
    """Break the caches, run, and run once more: the first says so, the second has nothing to say."""
    shutil.copytree(cache, folder / "sound")  # put back in its place: JAX's keys hold the path
    try:
        hurt(cache)
        for number, word in enumerate((told, "")):
            workdir = folder / f"run{number}"
            ended = runs.process(argv(workdir, data), folder / "log", env=environment(cache))
            if ended.code or "Traceback" in ended.said or word not in ended.said:
                return f"start {number}: exit {ended.code}: {ended.said[-900:]}"
            if problem := same(workdir, whole):
                return problem
        return f"told again: {ended.said[-600:]}" if "again" in ended.said else None
    finally:
        shutil.rmtree(cache)
        shutil.copytree(folder / "sound", cache)


def small(folder: Path, rng: random.Random, data: Path, whole: Path, limit: str, read_only: bool = False) -> str | None:
    """Run with the caches on a file system that is too small, or read-only."""
    with disks.small(folder / "disk", limit) as disk:
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = runs.process(argv(folder / "run", data), folder / "log", env=environment(disk))
        left = [str(path) for path in disk.rglob(".decoding-*")]
    if ended.code or "Traceback" in ended.said or "not kept" not in ended.said or left:
        return f"exit {ended.code}, left {left}: {ended.said[-900:]}"
    return same(folder / "run", whole)


def killed(folder: Path, rng: random.Random, data: Path, whole: Path) -> str | None:
    """Kill a process while it decodes; what it left is gone after the next start."""
    make = (
        "import pathlib, sys, time\nfrom fdl.data.decoded_cache import _draft\n"
        "with _draft(pathlib.Path(sys.argv[1])) as draft:\n"
        "    (draft / '0.npy').write_bytes(bytes(9999))\n    time.sleep(60)\n"
    )
    cache = folder / "cache"
    child = subprocess.Popen([sys.executable, "-c", make, str(cache)], cwd=runs.ROOT)
    runs.until(lambda: bool(list(cache.rglob("0.npy"))))
    child.send_signal(signal.SIGKILL)
    child.wait()
    ended = runs.process(argv(folder / "run", data), folder / "log", env=environment(cache))
    left = [str(path) for path in cache.glob(".decoding-*")]
    problem = f"exit {ended.code}, left {left}: {ended.said[-600:]}" if ended.code or left else None
    return problem or same(folder / "run", whole)
