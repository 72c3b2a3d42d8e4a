"""Checkpoints: a state on disk, written behind the run's back and published by one rename.

`checkpoints/STEP/` holds `state/` (Orbax) and `meta.json` (step and metrics). A folder with a dot in front of its name
is a save or a removal that did not finish; it is no checkpoint, and is swept away at the next start.
"""

import json
import shutil
import threading
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fdl.types import PyTree, TrainState


class Checkpoints:
    """The checkpoints of one run: the last is always kept, and the best by one metric.

    better: how to compare `meta["score"]`; None keeps the last alone.
    """

    def __init__(self, folder: Path, better: Literal["higher", "lower"] | None = None):
        self.folder, self.better = folder, better
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def steps(self) -> list[int]:
        """Return the steps that can be restored, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def last(self) -> int | None:
        """Return the newest step, or None."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """Return the step with the best score (the newer of equals), or None where nothing was scored."""
        scored = {step: score for step in self.steps() if (score := self.meta(step).get("score")) is not None}
        sign = -1 if self.better == "lower" else 1
        return max(scored, key=lambda step: (sign * scored[step], step), default=None)

    def meta(self, step: int) -> dict[str, Any]:
        """Return what was written beside the state of a step."""
        return json.loads((self.folder / str(step) / "meta.json").read_text())

    def sweep(self) -> None:
        """Remove what an interrupted save or removal left."""
        for path in self.folder.glob(".*"):
            shutil.rmtree(path)

    def save(self, state: TrainState, meta: dict[str, Any]) -> None:
        """Copy a state to the host, then write it in the background; the save before is finished first."""
        self.wait()
        host = jax.device_get(plain(state))
        self._thread = threading.Thread(target=self._write, args=(host, {"step": int(host.step), **meta}))
        self._thread.start()

    def wait(self) -> None:
        """Wait for the save under way; raise what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Return the state of a step as host arrays; `like` gives its structure (arrays or shapes)."""
        import orbax.checkpoint as ocp

        want = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), jax.eval_shape(plain, like))
        with ocp.PyTreeCheckpointer() as checkpointer:
            state = checkpointer.restore(self.folder.absolute() / str(step) / "state", item=want)
        return state._replace(key=jax.random.wrap_key_data(state.key))

    def _write(self, state: PyTree, meta: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp

        try:
            final = self.folder.absolute() / str(meta["step"])
            draft = final.with_name(f".saving-{final.name}")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            with ocp.PyTreeCheckpointer() as checkpointer:
                checkpointer.save(draft / "state", state)
            (draft / "meta.json").write_text(json.dumps(meta))
            if final.exists():
                self._remove(final)
            draft.rename(final)
            keep = {self.last(), self.best() if self.better else None}
            for step in self.steps():
                if step not in keep:
                    self._remove(self.folder / str(step))
        except BaseException as error:  # raised again by wait(), in the run's own thread
            self._error = error

    def _remove(self, path: Path) -> None:
        aside = path.with_name(f".removing-{path.name}")
        path.rename(aside)
        shutil.rmtree(aside)


def plain(state: TrainState) -> TrainState:
    """Return the state with its typed key as the numbers that make it up."""
    return state._replace(key=jax.random.key_data(state.key))
