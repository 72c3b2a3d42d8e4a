"""The run folder: what a run leaves, and the proof that it is this run's and no other's.

experiment.json (what ran, where, with which versions) · starts.json · metrics.jsonl · events.* (TensorBoard) ·
checkpoints/ · report.json.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.disk import write_text

if TYPE_CHECKING:
    import jax

CODE = "code of the page"
PACKAGES = ("fdl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "grain", "numpy")


def default(name: str, changed: Mapping[str, Any], root: Path = Path("runs")) -> Path:
    """Return the folder of a command that names none: the page and the knobs that differ from its defaults."""
    words = [name, *(f"{knob}={value}" for knob, value in sorted(changed.items()))]
    safe = "".join(c if c.isalnum() or c in "=._-," else "-" for c in ",".join(words).replace("/", "-"))
    return root / (safe.lstrip(".")[:200] or "run")


def refuse_stranger(path: Path, identity: Mapping[str, Any]) -> None:
    """Raise a ValueError where a folder cannot become this run's: it holds another run, or something else."""
    if (path / "experiment.json").exists():
        refuse_other(path, identity)
    elif path.exists() and (not path.is_dir() or any(not x.name.startswith(".") for x in path.iterdir())):
        raise ValueError(f"--workdir={path} is not empty and holds no run; choose an empty or new folder")


def claim(path: Path, identity: Mapping[str, Any], devices: "Sequence[jax.Device]") -> None:
    """Make the folder this run's, or raise a ValueError that names what differs in the run it belongs to."""
    refuse_stranger(path, identity)
    if not (path / "experiment.json").exists():
        write_json(path / "experiment.json", {"identity": dict(identity), **environment(devices)})


def disown(path: Path) -> None:
    """Take back a claim under which nothing was saved: what was wrong can be mended, and the same folder used."""
    if not (path / "checkpoints").exists():
        for name in ("experiment.json", "dataset.json", "metrics.jsonl", "starts.json"):
            (path / name).unlink(missing_ok=True)
        for file in path.glob("events*"):
            file.unlink()


def finished(path: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the report of a finished run, or None; a damaged one counts for nothing and is written again."""
    file = path / "report.json"
    if not file.exists():
        return None
    try:
        report = read_json(file)
    except ValueError as error:
        say(f"warning: {error}; it is written again")
        return None
    say(f"finished already, at step {report['step']}: {file}")
    return report


def refuse_other(path: Path, identity: Mapping[str, Any], say: Callable[[str], None] | None = None) -> None:
    """Raise a ValueError where the folder holds a run with another identity, or links that lead out of it.

    say: where only the code of the page differs, it is told so instead: for what trains nothing.
    """
    for file in path.iterdir():
        if file.is_symlink():
            raise ValueError(f"{file} is a link, and a run writes to its own folder alone; put a file or folder there")
    try:
        theirs = read_json(path / "experiment.json")["identity"]
        if not isinstance(theirs, dict):
            raise TypeError("no identity")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path / 'experiment.json'} does not say whose run this is ({error}); restore it or choose another folder"
        ) from None
    ours = json.loads(json.dumps(dict(identity)))
    theirs.setdefault(CODE, ours.get(CODE))  # folders of before it was written down
    if say and theirs[CODE] != ours.get(CODE):
        say(f"warning: the page was edited since {path} was trained, in more than its comments")
        theirs[CODE] = ours.get(CODE)
    differing = [
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if differing:
        raise ValueError(f"--workdir={path} holds another run: {'; '.join(differing)}; choose another folder")


def environment(devices: "Sequence[jax.Device]") -> dict[str, Any]:
    """Return what is needed to say where numbers came from."""
    from fdl import accelerator

    return {
        "command": sys.argv,
        "devices": accelerator.describe(devices),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: installed for name in PACKAGES if (installed := _version(name))},
        "commit": _commit(),
    }


def machine(executor: str, devices: "Sequence[jax.Device]") -> dict[str, Any]:
    """Return what decides the last bits of a result besides the experiment: a resume elsewhere says what changed."""
    from fdl import accelerator

    return {
        "executor": f"{executor}, {accelerator.describe(devices)}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "XLA_FLAGS": " ".join(word for word in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in word),
        **{name: _version(name) for name in ("jax", "jaxlib", "flax", "optax")},
    }


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return what differs in two mappings, `cores was 2 and is 4; …`, or nothing."""
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return "; ".join(f"{name} was {there.get(name)!r} and is {here.get(name)!r}" for name in names)


def write_json(file: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_text(file, json.dumps(value, indent=1, default=float))


def read_json(file: Path) -> Any:
    """Read JSON; raise a ValueError that names the file where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error})") from None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


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
