"""Warm starts: initialise from the weights of another run."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.models.pretrained import fill, seen_at_once
from fdl.runs.checkpoints.manager import Checkpoints


def of_run(folder: Path | str, *, fresh: Collection[str] = ()) -> Callable[[PyTree], PyTree]:
    """Return the function for `Experiment.init_from`: initial variables -> those of a run's best checkpoint.

    The newest one where none is known to be the best. Other leaves of that run, such as another head or its optimizer
    state, are ignored. fresh: as in `fill`.
    """

    def checkpoints() -> Checkpoints:
        return Checkpoints(Path(os.path.expanduser(folder)) / "checkpoints")

    def load(initial: PyTree) -> PyTree:
        step, _ = chosen(checkpoints())
        if step is None:
            raise UserError(
                f"{folder} holds no checkpoint to initialise from; give the folder of a run that was trained"
            )
        return fill(initial, checkpoints().variables(step), fresh=fresh, remedy="--fresh={}")

    def contents() -> str:
        step, _ = chosen(checkpoints())
        return "" if step is None else seen_at_once(checkpoints().folder / str(step) / "meta.json")

    def note() -> str:
        step, why = chosen(checkpoints())
        return f"starts from the weights of {folder} at step {step:,}, {why}" if step is not None else ""

    load.contents, load.note, load.fresh = contents, note, tuple(fresh)  # type: ignore[attr-defined]
    return load


def chosen(checkpoints: Checkpoints) -> tuple[int | None, str]:
    """Return the step of a run to start from, None without one, and what it is: the best by its metric, or the last."""
    last = checkpoints.last()
    if last is None:
        return None, ""
    meta = checkpoints.meta(last)
    best = Checkpoints(checkpoints.folder, meta.get("better"), monitor=meta.get("monitor", "")).best()
    if "better" not in meta or best is None:  # saved before fdl 0.2, or never evaluated
        return last, "its last"
    return best, f"its best by validation {meta['monitor']}"
