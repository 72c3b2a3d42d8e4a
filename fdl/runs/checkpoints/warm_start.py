"""Warm starts: begin with the weights of another run."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from fdl.core.types import PyTree
from fdl.models.pretrained import fill
from fdl.runs.checkpoints.manager import Checkpoints


def of_run(folder: Path | str, *, fresh: Collection[str] = ()) -> Callable[[PyTree], PyTree]:
    """Return the function that takes drawn variables and returns those of a run's newest checkpoint, as `published`.

    What the run has besides, another head or its optimizer's state, is left out. fresh: as in `fill`.
    """

    def start(drawn: PyTree) -> PyTree:
        checkpoints = Checkpoints(Path(os.path.expanduser(folder)) / "checkpoints")
        step = checkpoints.last()
        if step is None:
            raise ValueError(f"{folder} holds no checkpoint to begin with; give the folder of a run that was trained")
        return fill(drawn, checkpoints.variables(step), fresh=fresh)

    return start
