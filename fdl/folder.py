"""The run folder: what a run leaves, and the proof that it is this run's and no other's.

experiment.json (what ran, where, with which versions) · metrics.jsonl · events.* (TensorBoard) · checkpoints/ ·
report.json.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from fdl import accelerator

PACKAGES = ("fdl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "grain", "numpy")


def default(name: str, changed: Mapping[str, Any], root: Path = Path("runs")) -> Path:
    """Return the folder of a command that names none: the page and the knobs that differ from its defaults."""
    words = [name, *(f"{knob}={value}" for knob, value in sorted(changed.items()))]
    safe = "".join(c if c.isalnum() or c in "=._-," else "-" for c in ",".join(words).replace("/", "-"))
    return root / safe.lstrip(".")[:200]


def claim(path: Path, identity: Mapping[str, Any], devices: Sequence[jax.Device]) -> None:
    """Make the folder this run's, or raise a ValueError that names what differs in the run it belongs to."""
    file = path / "experiment.json"
    if file.exists():
        refuse_other(path, identity)
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"--workdir={path} is not empty and holds no run; choose an empty or new folder")
    path.mkdir(parents=True, exist_ok=True)
    write_json(file, {"identity": dict(identity), **environment(devices)})


def refuse_other(path: Path, identity: Mapping[str, Any]) -> None:
    """Raise a ValueError where the folder holds a run with another identity."""
    theirs = read_json(path / "experiment.json")["identity"]
    ours = json.loads(json.dumps(dict(identity)))
    differing = [
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if differing:
        raise ValueError(f"--workdir={path} holds another run: {'; '.join(differing)}; choose another folder")


def environment(devices: Sequence[jax.Device]) -> dict[str, Any]:
    """Return what is needed to say where numbers came from."""
    return {
        "command": sys.argv,
        "devices": accelerator.describe(devices),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: installed for name in PACKAGES if (installed := _version(name))},
        "commit": _commit(),
    }


def write_json(file: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as out:
        json.dump(value, out, indent=1, default=float)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


def read_json(file: Path) -> Any:
    """Read JSON; raise a ValueError that names the file where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged ({error}); remove the folder to start over") from None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
