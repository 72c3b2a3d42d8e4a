"""Warm starts: initialise from the weights of another run."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.models.pretrained import fill, seen_at_once
from fdl.runs.checkpoints.manager import Checkpoints


def of_run(folder: Path | str, *, fresh: Collection[str] = ()) -> Callable[[PyTree], PyTree]:
    """Return the function for `Experiment.init_from`: initial variables -> those of a run's newest checkpoint.

    Other leaves of that run, such as another head or its optimizer state, are ignored. fresh: as in `fill`.
    """

    def checkpoints() -> Checkpoints:
        return Checkpoints(Path(os.path.expanduser(folder)) / "checkpoints")

    def load(initial: PyTree) -> PyTree:
        step = checkpoints().last()
        if step is None:
            raise UserError(
                f"{folder} holds no checkpoint to initialise from; give the folder of a run that was trained"
            )
        return fill(initial, checkpoints().variables(step), fresh=fresh, remedy="--fresh={}")

    def contents() -> str:
        step = checkpoints().last()
        return "" if step is None else seen_at_once(checkpoints().folder / str(step) / "meta.json")

    load.contents = contents  # type: ignore[attr-defined]
    return load
