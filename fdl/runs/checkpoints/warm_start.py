"""Warm starts: initialise from the weights of another run."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from fdl.core.types import PyTree
from fdl.models.pretrained import fill
from fdl.runs.checkpoints.manager import Checkpoints


def of_run(folder: Path | str, *, fresh: Collection[str] = ()) -> Callable[[PyTree], PyTree]:
    """Return the function for `Experiment.init_from`: initial variables -> those of a run's newest checkpoint.

    Other leaves of that run, such as another head or its optimizer state, are ignored. fresh: as in `fill`.
    """

    def load(initial: PyTree) -> PyTree:
        checkpoints = Checkpoints(Path(os.path.expanduser(folder)) / "checkpoints")
        step = checkpoints.last()
        if step is None:
            raise ValueError(
                f"{folder} holds no checkpoint to initialise from; give the folder of a run that was trained"
            )
        return fill(initial, checkpoints.variables(step), fresh=fresh)

    return load
