"""The run folder: its files, and the check that it belongs to this run.

experiment.json (what ran, where, with which versions) · page/ (the page and its knobs) · dataset.json (how the data
becomes inputs) · longer.json (its steps, where it was made longer) · starts.json · metrics.jsonl · events.*,
train/, validation/, test/ (TensorBoard) · checkpoints/ · report.json.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fdl import __version__
from fdl.core.differences import THERE_AND_HERE, differences, first_few, flat, shown
from fdl.core.errors import UserError
from fdl.core.object_store import EXTRAS
from fdl.pages import CODE, IMPORTS, PARTS, UNDESCRIBED
from fdl.runs.atomic_files import finite, read_json, write_json
from fdl.runs.provenance import environment
from fdl.runs.stores.store import is_address

if TYPE_CHECKING:
    import jax

Mode = TypeVar("Mode", bound=Callable[..., Any])

KINDS = " and ".join(f"{scheme}://BUCKET/FOLDER" for scheme in EXTRAS)
LONGER = "longer.json"
TRACKING = "tracking.json"  # the runs of other packages' trackers that a run is
EVENTS = ("train", "validation", "test")  # folders of TensorBoard's events of the splits
ON_STORES = ("workdir", "init")  # flags that name a run folder, which may be on an object store
FLAGS_OF_RATES = ("schedule", "optimizer", "learning_rate", "clip")  # by which updates differ
RENAMED = {"average": "ema_decay"}  # knobs of folders of fdl 0.1


def default(name: str, changed: Mapping[str, Any], root: Path = Path("runs")) -> Path:
    """Return the default folder of a command: the page's name and the knobs that differ from their defaults."""
    reason = [name, *(f"{knob}={shown(value)}" for knob, value in sorted(changed.items()))]
    safe = "".join(c if c.isalnum() or c in "=._-," else "-" for c in ",".join(reason).replace("/", "-"))
    return root / (safe.lstrip(".")[:200] or "run")


def local(path: Path | str, flag: str = "workdir") -> Path:
    """Return a local path: of an address on an object store the folder that it is fetched into, for reading.

    Raises a UserError for any other URL, which would create a folder of that name, before anything is made.
    """
    if flag in ON_STORES and is_address(path):
        from fdl.runs.stores.mirror import fetched  # imports JAX

        return fetched(str(path), flag)
    if found := re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise UserError(
            f"--{flag}={path} is an address ({found[0][:-1]}), and fdl works in folders"
            f"{f' and {KINDS}' if flag in ON_STORES else ''}; give one, or mount the address"
        )
    return Path(path)


def beside(workdir: Path | str, ending: str) -> Path:
    """Return the file beside a run folder with its name and an ending; of an address it is in the current folder."""
    if is_address(workdir):
        return Path(f"{str(workdir).rstrip('/').rpartition('/')[2]}{ending}")
    folder = local(workdir)
    return folder.with_name(f"{folder.name}{ending}")


def on_local_folder(mode: Mode) -> Mode:
    """Let a mode `(experiment, workdir, ...)` that reads a run take an address as well.

    It works in the folder that the run is fetched into, and what it writes there is put on the store.
    """

    @functools.wraps(mode)
    def with_results(experiment: Any, workdir: Path | str, *args: Any, **kwargs: Any) -> Any:
        folder, begun = local(workdir), time.time()
        result = mode(experiment, folder, *args, **kwargs)
        if is_address(workdir):
            from fdl.runs.stores.mirror import put_results  # imports JAX

            put_results(str(workdir), folder, begun)
        return result

    return with_results  # type: ignore[return-value]


def refuse_stranger(path: Path, identity: Mapping[str, Any]) -> None:
    """Raise a ValueError if a folder cannot be used by this run: it holds another run or other files."""
    if os.path.exists(path / "experiment.json"):  # False too of a name that is too long, which the lock refuses
        refuse_other(path, identity)
    elif os.path.exists(path) and (not path.is_dir() or any(not x.name.startswith(".") for x in path.iterdir())):
        raise UserError(f"--workdir={path} is not empty and holds no run; choose an empty or new folder")


def claim(
    path: Path, identity: Mapping[str, Any], devices: "Sequence[jax.Device]", log: Callable[[str], None] = print
) -> None:
    """Claim the folder for this run, or raise a ValueError that names the differences from the run it belongs to."""
    refuse_stranger(path, identity)
    if not (path / "experiment.json").exists():
        for name, reason in undescribed(identity).items():
            log(f"warning: this folder cannot be resumed or reused: its {name} cannot be compared: {reason}")
        write_json(path / "experiment.json", {"identity": finite(identity, str), **environment(devices)})


def digest(path: Path) -> str:
    """Return what the commits of a run carry of its identity, as its folder holds it; "" where it holds none."""
    if not (path / "experiment.json").exists():
        return ""
    return digest_of(read_json(path / "experiment.json")["identity"])


def digest_of(identity: Mapping[str, Any]) -> str:
    """Return the digest of an identity in JSON's types."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def disown(path: Path) -> None:
    """Release a claim under which nothing was saved, so that the folder can be used again."""
    if not (path / "checkpoints").exists():
        whole = ("experiment.json", "dataset.json", "metrics.jsonl", "starts.json", "report.html", LONGER, TRACKING)
        for name in whole:
            (path / name).unlink(missing_ok=True)
        for file in path.glob("events*"):
            file.unlink()
        for name in ("page", *EVENTS):
            shutil.rmtree(path / name, ignore_errors=True)


def finished(
    path: Path, log: Callable[[str], None], goes_on: Callable[[Mapping[str, Any]], bool] = lambda report: False
) -> dict[str, Any] | None:
    """Return the report of a finished run, or None; a damaged one is ignored and written again.

    goes_on: `report -> whether the run is to be trained further`.
    """
    file = path / "report.json"
    if not file.exists():
        return None
    try:
        report = read_report(file)
    except ValueError as error:
        log(f"warning: {error}; it is written again")
        return None
    if goes_on(report):
        return None
    log(f"finished already, at step {report['step']}: {file}")
    return report


def read_report(file: Path) -> dict[str, Any]:
    """Return a report.json; raise a ValueError if it is not the report of a run."""
    report: dict[str, Any] = read_json(file)
    metrics = report.get("metrics") if isinstance(report, dict) else None
    splits = metrics.values() if isinstance(metrics, dict) else [None]
    if not all(isinstance(values, dict) for values in splits) or not isinstance(report.get("step"), int):
        raise UserError(f"{file} is damaged (no step, or no metrics of splits)")
    return report


def refuse_other(path: Path, identity: Mapping[str, Any], log: Callable[[str], None] | None = None) -> None:
    """Raise a ValueError if the folder holds a run with another identity, or symlinks.

    log: receives a warning instead if only the code of the page differs; for modes that do not train.
    """
    for file in path.iterdir():
        if file.is_symlink() or not (file.is_file() or file.is_dir()):  # reading a pipe would block forever
            kind = "link" if file.is_symlink() else "pipe or a device"
            raise UserError(f"{file} is a {kind}, and a run writes to its own folder alone; put a file or folder there")
    kept, (recorded, current) = _kept(path), _comparable(path, identity)
    if PARTS not in recorded and not log and current.get(CODE, "unknown") == "":
        raise UserError(
            f"--workdir={path} is of fdl 0.1, whose folders do not say with which model, data and optimizer they were "
            "trained where no page says so; choose another folder, or evaluate it"
        )
    for key in (CODE, IMPORTS, PARTS):
        recorded.setdefault(key, current.get(key))  # folders of earlier versions do not record these
    if log and any(recorded[key] != current.get(key) for key in (CODE, IMPORTS)):
        log(f"warning: the page was edited since {path} was trained, or what it imports, in more than comments")
        recorded |= {key: current.get(key) for key in (CODE, IMPORTS)}
    for name in undescribed(recorded) | undescribed(current):
        reason = (undescribed(current) or undescribed(recorded)).get(name, "it was not described when that run began")
        if not log:
            raise UserError(
                f"--workdir={path} may hold another run: its {name} cannot be compared: {reason}; "
                "or choose another folder"
            )
        log(f"warning: whether the run in {path} had the same {name} is unknown: {reason}")
        recorded[PARTS] = {**recorded[PARTS], name: current[PARTS].get(name)}
        current[PARTS].setdefault(name, None)
    if differing := differences(_flat(recorded), _flat(current), THERE_AND_HERE):
        way = "" if log else _way_to_go_on(path, _flat(recorded), _flat(current))
        raise UserError(
            f"--workdir={path} holds another run{_of_version(kept)}: {first_few(differing)}; choose another folder{way}"
        )


def _kept(path: Path) -> dict[str, Any]:
    """Return what a folder's experiment.json holds, of a longer run its steps; raise a UserError without identity."""
    try:
        kept: dict[str, Any] = read_json(path / "experiment.json")
        if not isinstance(kept["identity"], dict):
            raise TypeError("no identity")
        if (path / LONGER).exists():
            kept["identity"] |= dict(read_json(path / LONGER))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path / 'experiment.json'} does not say whose run this is ({error}); restore it or choose another folder"
        ) from None
    return kept


def recorded_identity(path: Path) -> dict[str, Any]:
    """Return the identity of the run in a folder, with the steps of it where it was made longer."""
    return dict(finite({RENAMED.get(key, key): value for key, value in _kept(path)["identity"].items()}, str))


def _comparable(path: Path, identity: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the folder's identity and a given one in JSON's types, both without the metrics that one of them lacks.

    No state depends on a metric, and a later version of fdl or of a task measures more of them.
    """
    recorded, current = recorded_identity(path), finite(json.loads(json.dumps(dict(identity))), str)
    tasks = ((one.get(PARTS) or {}).get("task") for one in (recorded, current))
    there, here = (task.get("metrics") if isinstance(task, dict) else None for task in tasks)
    if isinstance(there, dict) and isinstance(here, dict):
        for name in there.keys() ^ here.keys():
            there.pop(name, None)
            here.pop(name, None)
    return recorded, current


def longer(path: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of an identity by which it is the folder's run with more steps, {} where it is not."""
    if not (path / "experiment.json").exists():
        return {}
    recorded, current = _comparable(path, identity)
    differing = {name for name in {**recorded, **current} if recorded.get(name) != current.get(name)}
    planned = "steps" in differing and differing <= {"steps", "epochs"}
    return {name: current[name] for name in differing} if planned and recorded["steps"] < current["steps"] else {}


def record_longer(path: Path, steps: Mapping[str, Any]) -> None:
    """Record beside the identity, which commits carry, that a folder's run has more steps now."""
    write_json(path / LONGER, dict(steps))


def _way_to_go_on(path: Path, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Return how to train a run further, where a longer one is all that differs; "" where more does.

    Its learning rates are planned for all of its steps, so a longer run is another one from its first step on.
    """
    differing = {name for name in {**recorded, **current} if recorded.get(name) != current.get(name)}
    longer = "steps" in differing and recorded.get("steps", 0) < current.get("steps", 0)
    planned = all(name in ("steps", "epochs") or name.startswith("optimizer.") for name in differing)
    knobs = (value for name, value in current.items() if "." not in name and isinstance(value, list))
    members = any(isinstance(number, int | float) for value in knobs for number in value)
    if not longer or members:  # a population starts from no weights
        return ""
    if flags := [_as_in(recorded, name) for name in FLAGS_OF_RATES if name in differing]:
        rest = differing - {"steps", "epochs", *FLAGS_OF_RATES}
        return "" if rest else f", or go on in this one with what it was trained with: {', '.join(flags)}"
    way = f", and add --init={path} there to go on from these weights with a schedule that begins anew"
    return way if planned else ""


def _as_in(recorded: Mapping[str, Any], name: str) -> str:
    """Return what to write for a flag to be as in the folder's run."""
    value = recorded.get(name)
    return f"leave out --{name}" if value is None else f"--{name}={str(value).strip(chr(39))}"


def _of_version(kept: Mapping[str, Any]) -> str:
    """Return the version of fdl that a folder is of, where it is another, which may have read data differently."""
    versions = kept.get("versions")
    earlier = versions.get("fdl") if isinstance(versions, dict) else None
    return f", of fdl {earlier} (this is {__version__})" if earlier not in (None, __version__) else ""


def undescribed(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of an identity that cannot be compared with another, each with the reason and the way out."""
    parts = identity.get(PARTS) or {}
    return {name: part[UNDESCRIBED] for name, part in parts.items() if isinstance(part, dict) and UNDESCRIBED in part}


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with keys such as `model.hidden`, and texts in quotes, so that an empty one shows."""
    whole = {name: value for name, value in identity.items() if name != PARTS} | (identity.get(PARTS) or {})
    return {name: repr(one) if isinstance(one, str) else one for name, one in flat(whole).items()}
