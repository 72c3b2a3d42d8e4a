"""The commit of a checkpoint, `meta.json`: what it says, verified, and which checkpoints are kept for it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fdl import __version__
from fdl.core.errors import Damaged, UserError, brief
from fdl.runs.atomic_files import flush
from fdl.runs.checkpoints.digest import digest_of_file, digest_of_json
from fdl.runs.checkpoints.structure import name_now


class Keep(NamedTuple):
    """Which checkpoints are kept: the newest ones, and the first at or after each multiple of `every` steps."""

    newest: int = 2  # one to fall back on
    every: int | None = None

    def of(self, steps: Sequence[int]) -> set[int]:
        """Return the steps that are kept, of all in order.

        >>> sorted(Keep(newest=1, every=10).of([4, 8, 12, 16, 20, 24]))
        [12, 20, 24]
        """
        first: dict[int, int] = {}
        for step in steps if self.every else ():
            first.setdefault(step // (self.every or 1), step)
        first.pop(0, None)  # before the first multiple
        return {*first.values(), *steps[-self.newest :]}


def read_commit(file: Path, step: int) -> dict[str, Any]:
    """Return the commit of a step, with the leaves named as now; raise Damaged if it fails verification."""
    try:
        if not file.is_file():
            raise FileNotFoundError(f"{file.name} is no file")  # reading a pipe would block forever
        held = json.loads(file.read_bytes())
        commit, written = held["commit"], held["digest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{file} does not read: {brief(error)}") from None
    if digest_of_json(commit) != written or commit["step"] != step:
        raise Damaged(f"{file} is damaged: its digest does not fit")
    refuse_newer(file.parent, commit.get("fdl", "0.1.0"))
    return {"fdl": "0.1.0", **commit, "leaves": {name_now(name): leaf for name, leaf in commit["leaves"].items()}}


def refuse_newer(folder: Path, by: str) -> None:
    """Raise a UserError if a checkpoint is of a newer minor version of fdl, which this one may not understand."""
    if _minor(by) > _minor(__version__):
        raise UserError(f"{folder} was saved by fdl {by} and this is {__version__}; install fdl {by} or newer")


def _minor(version: str) -> tuple[int, ...]:
    found = re.match(r"([0-9]+)\.([0-9]+)", version)
    return tuple(map(int, found.groups())) if found else (0,)


def write_commit(draft: Path, commit: Mapping[str, Any]) -> None:
    """Write the commit of a draft, which is then durable: all its files are fsynced."""
    commit = json.loads(json.dumps(commit))  # digested as it will be read
    (draft / "meta.json").write_text(json.dumps({"digest": digest_of_json(commit), "commit": commit}), encoding="utf-8")
    for path in [*draft.rglob("*"), draft]:
        flush(path)


def verify_files(folder: Path, digests: Mapping[str, str], without: Callable[[str], bool]) -> None:
    """Raise Damaged if a file, by its path from a commit's folder, is missing or has another digest.

    without: those that are not looked at.
    """
    for name, written in digests.items():
        if without(name):
            continue
        if not (folder / name).is_file():
            raise Damaged(f"{folder / name} is missing")
        if digest_of_file(folder / name) != written:
            raise Damaged(f"{folder / name} is damaged: its digest does not fit")


def score_of(meta: Mapping[str, Any], monitor: str) -> float | None:
    """Return the score by which the best checkpoint is chosen: the monitored metric, whichever one a run began with."""
    score: float | None = meta.get("score")
    validation = meta.get("metrics", {}).get("validation", {})
    if score is None or meta.get("monitor") == monitor or not isinstance(validation, dict):
        return score
    watched: float | None = validation.get(monitor, score)
    return watched
