"""File systems and hosts that lack what Linux disks have: each works, or ends in one line with a path and a way out."""

import json
import os
import random
import subprocess
import time
from functools import partial
from pathlib import Path

import kills
import runs
import shims
from runs import Row

WORK = {
    "folders cannot be flushed": "no-folder-sync",
    "no locks": "no-locks",
    "no modes and links": "no-modes no-links",
    "no shared memory maps": "no-shared-maps",
    "folders older than the container cannot be renamed": "no-old-folder-rename",
    "a network drive: none of these": "no-folder-sync no-locks no-modes no-links no-shared-maps",
}
END = {
    "a disk that fails": ("sync-eio", ("Input/output error", "look after it")),
    "folders cannot be renamed": ("no-folder-rename", ("cannot rename folders", "elsewhere")),
}


def misbehave(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Run on every such file system."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    shim = shims.built(folder)
    if shim is None:
        row.note = "not run: no C compiler here"
        return
    kinds: dict[str, runs.Kind] = {name: partial(works, whole=whole, shim=shim, words=w) for name, w in WORK.items()}
    kinds |= {name: partial(ends, shim=shim, words=w, line=line) for name, (w, line) in END.items()}
    kinds |= {
        "flushing takes 0.7 s": partial(waits, whole=whole, shim=shim),
        "two starts without locks": partial(twice, shim=shim),
        "a killed run's heartbeats": partial(stale, whole=whole, shim=shim),
        "an unknown user without a home": partial(homeless, whole=whole, shim=shim),
    }
    runs.each_kind(row, tries, rng, folder, kinds)


def argv(folder: Path, *more: str) -> list[str]:
    """Return the flags of a run in this folder."""
    return runs.command(folder / "run", "mlp", "jit", *more)


def works(folder: Path, rng: random.Random, whole: Path, shim: Path, words: str) -> str | None:
    """Run there to the end."""
    ended = runs.process(argv(folder), folder / "log", env=os.environ | shims.files(shim, words, folder / "run"))
    if ended.code or "Traceback" in ended.said:
        return f"exit {ended.code}: {ended.said[-900:]}"
    if ("no-locks" in words) != ("file system without locks" in ended.said):
        return f"it is not told: {ended.said[-600:]}"
    return kills.compare(folder / "run", whole)


def ends(folder: Path, rng: random.Random, shim: Path, words: str, line: tuple[str, ...]) -> str | None:
    """Run there, and end in one line."""
    ended = runs.process(argv(folder), folder / "log", env=os.environ | shims.files(shim, words, folder / "run"))
    left = runs.leftovers(folder / "run")
    return runs.one_line(ended, 1, str(folder / "run"), *line) or (f"left {left}" if left else None)


def waits(folder: Path, rng: random.Random, whole: Path, shim: Path) -> str | None:
    """Run there; the time that the disk takes is not the training's."""
    env = os.environ | shims.files(shim, "sync-slow", folder / "run")
    ended = runs.process(argv(folder, "--save_every=60"), folder / "log", env=env)
    if ended.code:
        return f"exit {ended.code}: {ended.said[-600:]}"
    training = json.loads((folder / "run" / "report.json").read_text())["training_seconds"]
    usual = json.loads((whole / "report.json").read_text())["training_seconds"]
    return f"{training:.2f} s of training, usually {usual:.2f}" if training > 5 * usual + 0.5 else None


def twice(folder: Path, rng: random.Random, shim: Path) -> str | None:
    """Start two at once, or one a while after the other: one runs, the other leaves and names it."""
    env = os.environ | shims.files(shim, "no-locks", folder / "run")
    logs, both = [folder / "log0", folder / "log1"], []
    for log in logs:
        with log.open("wb") as out:
            both.append(
                subprocess.Popen(runs.launched(argv(folder, "--steps=1000000")), env=env, stdout=out, stderr=out)
            )
        time.sleep(rng.choice([0.0, 6.0]))
    runs.until(lambda: any(child.poll() is not None for child in both), 90)
    codes = [child.poll() for child in both]
    for child in both:
        child.terminate()
    ended = [runs.wait(child, log) for child, log in zip(both, logs, strict=True)]
    said = "".join(one.said for one in ended)
    fine = sorted(code or 0 for code in codes) == [0, 2] and sorted(one.code for one in ended) == [2, 75]
    return None if fine and "is in use by pid" in said else f"{codes}, {ended}"


def stale(folder: Path, rng: random.Random, whole: Path, shim: Path) -> str | None:
    """Kill a run there; the same command waits until its heartbeats have stopped, and goes on."""
    env = os.environ | shims.files(shim, "no-locks", folder / "run")
    with (folder / "log").open("wb") as out:
        child = subprocess.Popen(runs.launched(argv(folder)), env=env, stdout=out, stderr=out)
    runs.until(lambda: bool(runs.listed(folder / "run")) or child.poll() is not None)
    child.kill()
    child.wait()
    ended = runs.process(argv(folder), folder / "log", env=env)
    return (f"exit {ended.code}: {ended.said[-600:]}" if ended.code else None) or kills.compare(folder / "run", whole)


def homeless(folder: Path, rng: random.Random, whole: Path, shim: Path) -> str | None:
    """Run as a user whom the system does not know, with no home."""
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")}
    ended = runs.process(argv(folder), folder / "log", env=kept | shims.files(shim, "no-user", folder))
    if ended.code or "Traceback" in ended.said or "has no home" not in ended.said:
        return f"exit {ended.code}: {ended.said[-900:]}"
    return kills.compare(folder / "run", whole)
