"""Checkpoints read by several processes at once: each reads the shards of its local devices, and all agree.

Where they share a file system, none reads more of a state in pieces than its devices will hold. Otherwise, and for a
state that one process wrote whole, the first reads it and broadcasts it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from fdl.core.errors import Damaged, UserError
from fdl.core.types import PyTree, TrainState
from fdl.parallel import processes
from fdl.parallel.executors import Executor
from fdl.runs.checkpoints.commit import read_commit
from fdl.runs.checkpoints.digest import digest_of_file
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.saved import Saved
from fdl.runs.checkpoints.structure import plain


def resume(checkpoints: Checkpoints, like: TrainState, executor: Executor, log: Callable[[str], None]) -> Saved | None:
    """Return the checkpoint to resume from with its state placed, or None, as `Checkpoints.resume` does."""
    if processes.count() > 1:
        return Together(checkpoints, executor).resume(like, log)
    saved = checkpoints.resume(like, log)
    return None if saved is None else saved._replace(state=executor.put_state(saved.state))


def restore(checkpoints: Checkpoints, step: int, like: TrainState, executor: Executor) -> TrainState:
    """Return the placed state of a step, which is the same in all processes."""
    if processes.count() > 1:
        return Together(checkpoints, executor).restore(step, like)
    return executor.put_state(checkpoints.restore(step, like))  # type: ignore[no-any-return]


class Together(Checkpoints):
    """The checkpoints of the first process, read by all: every method is called in all processes at the same time.

    first: those of this process, which are the run's in the first one only.
    """

    def __init__(self, first: Checkpoints, executor: Executor):
        super().__init__(first.folder, first.better, first.finite, first.run, monitor=first.monitor)
        self.first, self.executor = first, executor

    def steps(self) -> list[int]:
        """Return the committed steps, in order."""
        steps: list[int] = processes.on_first_process(self.first.steps)
        return steps

    def best(self) -> int | None:
        """Return the step with the best score, as the first process sees it."""
        step: int | None = processes.on_first_process(self.first.best)
        return step

    def meta(self, step: int) -> dict[str, Any]:
        """Return the metadata of a step that was restored."""
        meta: dict[str, Any] = processes.on_first_process(lambda: self.first.meta(step))
        return meta

    def restore(self, step: int, like: TrainState, layout: PyTree = None) -> TrainState:
        """Return the placed state of a step; raise Damaged in all processes where one of them reads damage."""
        shapes, common = jax.eval_shape(plain, like), self._in_common(step)
        if common is not None:
            pieces = Checkpoints(common, run=self.run if processes.first() else "")
            read: TrainState = _agreed(lambda: pieces.restore(step, like, self.executor.layout(like)))
            return read
        whole = _agreed(lambda: plain(self.first.restore(step, like)) if processes.first() else None)
        state = processes.broadcast_from_first(whole, shapes)
        placed: TrainState = self.executor.put_state(
            state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))
        )
        return placed

    def _in_common(self, step: int) -> Path | None:
        """Return the first process's folder where a step is in pieces and all processes see it."""

        def offer() -> list[str]:
            file = self.first.folder.absolute() / str(step) / "meta.json"
            try:
                return [str(file), digest_of_file(file)] if "pieces" in read_commit(file, step) else ["", ""]
            except Damaged:  # as reading it will say
                return ["", ""]

        path, digest = processes.on_first_process(offer)
        sees = bool(path) and Path(path).is_file() and digest_of_file(Path(path)) == digest
        return Path(path).parents[1] if processes.all_agree(sees) else None


def _agreed(read: Callable[[], Any]) -> Any:
    """Return what this process reads, or raise in all of them what one could not read."""
    result, failed = None, ""
    try:
        result = read()
    except (Damaged, UserError) as error:
        failed = f"{type(error).__name__} {error}"
    if failed := processes.any_text(failed):
        kind, _, text = failed.partition(" ")
        raise (UserError if kind == UserError.__name__ else Damaged)(text)
    return result
