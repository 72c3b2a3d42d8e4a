"""Checkpoints: states written asynchronously, published by an atomic rename and verified when read.

`checkpoints/STEP/` is one commit: `state/` (Orbax), `weights.safetensors`, which needs no fdl to be read, and
`meta.json`, which holds the run's progress besides its state, the dtype, shape and digest of every leaf, and the digest
of every file. All files are fsynced before the rename, so a listed step is complete, also after power loss. If a state
is split over processes with a shared folder, each process writes its shards, to `pieces-PROCESS/`, instead of both; a
piece has its digest in `meta.json`, so that a process that reads it alone can verify it (`shards`).

`.saving-*` and `.removing-*` are leftovers of an interrupted save or removal, deleted at the next start. `damaged-*`
are commits that failed verification, kept for inspection and never read again.
"""

import contextlib
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from fdl import __version__
from fdl.core.errors import Damaged, Fault, NotFinite, reason
from fdl.core.types import PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.atomic_files import delete, delete_until_gone, flush, free, read_json
from fdl.runs.checkpoints import shards
from fdl.runs.checkpoints.commit import Keep, read_commit, score_of, verify_files, write_commit
from fdl.runs.checkpoints.digest import describe, digests_of_folder
from fdl.runs.checkpoints.newest_sound import Found, newest_sound
from fdl.runs.checkpoints.orbax_io import nonempty, orbax, read, restore
from fdl.runs.checkpoints.saved import Saved
from fdl.runs.checkpoints.shards import Piece
from fdl.runs.checkpoints.structure import averaged_params, leaves, plain, refuse_other_structure
from fdl.runs.checkpoints.weights import WEIGHTS, write_weights

Which = Literal["tested", "best", "last"]


class Checkpoints:
    """The checkpoints of one run: those of `keep` are kept, by default the newest two, and the best by one metric.

    better: how to compare `meta["score"]`; None keeps the newest alone.
    monitor: the metric that is compared; a run that was begun with another one is compared by this one all the same.
    finite: refuse to commit a state that is not.
    run: the digest of the run's identity, stored in its commits; a commit of another run is a Fault. "" accepts any.
    check_owner: raises a Fault if the folder is no longer held by this run.
    """

    def __init__(
        self,
        folder: Path,
        better: Literal["higher", "lower"] | None = None,
        finite: bool = True,
        run: str = "",
        check_owner: Callable[[], None] = lambda: None,
        monitor: str = "",
    ):
        self.folder, self.better, self.finite, self.run, self.check_owner = folder, better, finite, run, check_owner
        self.monitor = monitor
        self.keep = Keep()
        self.published: Callable[[], None] = lambda: None  # called after each commit, before it counts as saved
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._meetings = 0  # of processes that write together

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._join()  # whatever ended the run, nothing is written once its folder is no longer held

    def steps(self) -> list[int]:
        """Return the committed steps, in order."""
        if not self.folder.is_dir():
            return []
        listed = (path.name for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink())
        return sorted(int(name) for name in listed if re.fullmatch("0|[1-9][0-9]*", name))

    def last(self) -> int | None:
        """Return the newest step, or None."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """Return the step with the best score (the newer of equals, never NaN), or None where nothing was scored."""
        scores = {}
        for step in self.steps():
            try:
                scores[step] = score_of(self.meta(step), self.monitor)
            except Damaged:
                continue  # restoring it raises the error
        scored = {step: score for step, score in scores.items() if score is not None and not math.isnan(score)}
        sign = -1 if self.better == "lower" else 1
        return max(scored, key=lambda step: (sign * scored[step], step), default=None)

    def meta(self, step: int) -> dict[str, Any]:
        """Return the metadata of a step; raise Damaged if it fails verification."""
        result: dict[str, Any] = self._commit(step)["meta"]
        return result

    def save(self, state: TrainState, meta: Mapping[str, Any]) -> None:
        """Copy a state to the host, then commit it in a background thread; waits for the previous save first.

        A committed step is not overwritten. Raises the error of the previous save, and NotFinite at once. Of a state
        that is split over processes each writes its shards, and the first commits once all have.
        """
        self.wait()
        step, state = int(state.step), plain(state)
        if processes.on_first_process(lambda: step in self.steps() and self._commit(step)["step"] == step):
            return
        draft = self.folder / f".saving-{step}"
        common = shards.common(draft) if shards.are_needed(state) else None
        if common:
            pieces = shards.local_pieces(leaves(state))
            whole = {name: {"dtype": leaf.dtype.name, "shape": list(leaf.shape)} for name, leaf in leaves(state)}
            self._refuse_nonfinite(step, [(piece.name, piece.array) for piece in pieces])
            self._start(common, step, lambda: self._write_together(common, step, pieces, whole, dict(meta)))
            return
        host = processes.fetch(state)
        self._refuse_nonfinite(step, leaves(host))
        if processes.first():
            self._start(draft, step, lambda: self._write(draft, host, dict(meta)))

    def wait(self) -> None:
        """Wait for the current save; raise a Fault if it failed, in all processes that took part."""
        self._join()
        self.check_owner()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def check(self) -> None:
        """Raise a Fault where the folder is another's or, of one process, the last save has failed by now."""
        self.check_owner()
        if self._error is not None and processes.count() == 1:
            self.wait()

    def restore(self, step: int, like: TrainState, layout: PyTree = None) -> TrainState:
        """Return the state of a step as host arrays; `like` gives its structure (arrays or shapes).

        layout: the sharding of each leaf, of a step in pieces: the state is placed, each process reading its shards.
        Raises a ValueError that names what differs where the checkpoint holds another structure, and Damaged, with the
        leaf or the file, where it does not hold the very bytes that were saved.
        """
        commit, folder, shapes = self._verified(step), self.folder / str(step), jax.eval_shape(plain, like)
        refuse_other_structure(folder, commit["leaves"], shapes, commit["fdl"])
        if "pieces" in commit and layout is not None:
            state = shards.read_shards(folder, shapes, layout, commit["pieces"])
        else:
            state = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), shapes)
            if "pieces" in commit:
                shards.read_pieces(folder, dict(leaves(state)), commit["pieces"])
            else:
                state = read(folder / "state", state, commit["leaves"], commit["fdl"])
        return state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))

    def variables(self, step: int) -> dict[str, Any]:
        """Return the variables that a step is evaluated with, as host arrays: averaged weights where there are some.

        Whatever the optimizer beside them was; raises Damaged.
        """
        commit, folder = self._verified(step), self.folder / str(step)
        if "pieces" in commit:
            state = shards.read_dictionaries(folder, commit["leaves"], commit["pieces"])
        else:
            state = restore(folder / "state")
        return {
            "params": averaged_params(state, commit["leaves"]),
            **state.get("extras", state.get("model_state", {})),
        }

    def verify(self, step: int) -> dict[str, Any]:
        """Return the commit of a step: meta, leaves and files; raise Damaged if anything fails verification."""
        commit = self._verified(step)
        shards.verify_pieces(self.folder / str(step), commit.get("pieces", {}))
        return commit

    def saved(self, step: int, like: TrainState) -> Saved:
        """Return a step with its metadata, restored as `restore` does."""
        return Saved(step, self.restore(step, like), self.meta(step))

    def chosen(self, which: Which, read: Callable[[int], Found], log: Callable[[str], None]) -> Found | None:
        """Return what is read of a step, the newest sound one where none was scored; "tested": of the report's test."""
        if which == "tested":
            file = self.folder.parent / "report.json"
            which = "best" if file.exists() and read_json(file).get("tested") == "best" else "last"
        step = self.best() if which == "best" else None
        return newest_sound(self.folder, self.steps(), read, log) if step is None else read(step)

    def newest(self, like: TrainState, log: Callable[[str], None]) -> Saved | None:
        """Return the newest sound checkpoint, or None where there is none at all; see `newest_sound`."""
        return self.chosen("last", lambda step: self.saved(step, like), log)

    def resume(self, like: TrainState, log: Callable[[str], None]) -> Saved | None:
        """Return the checkpoint to resume from, or None, and clean up the folder.

        Leftovers of interrupted saves are removed, and damaged steps are renamed.
        """
        for path in [*self.folder.glob(".saving-*"), *self.folder.glob(".removing-*")]:
            delete(path)
        found = self.newest(like, log)
        for step in self.steps():
            if found and step > found.step and processes.first():
                free(self.folder / f"damaged-{step}")
                (self.folder / str(step)).rename(self.folder / f"damaged-{step}")
        return found

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _commit(self, step: int) -> dict[str, Any]:
        folder = self.folder / str(step)
        commit = read_commit(folder / "meta.json", step)
        if self.run and commit.get("run", self.run) != self.run:  # older commits carry none
            raise Fault(f"{folder} was saved by another run; remove it, or choose another folder")
        return commit

    def _verified(self, step: int) -> dict[str, Any]:
        """Return the commit of a step whose files fit their digests, all but the pieces, which are verified when read.

        Verified before Orbax reads, because it would accept some damage and fail noisily in threads on other damage.
        """
        commit = self._commit(step)
        verify_files(self.folder / str(step), commit["files"], without=shards.is_piece)
        return commit

    def _refuse_nonfinite(self, step: int, held: Iterable[tuple[str, Any]]) -> None:
        # Scalars of the optimizer may be infinite initially, such as the best loss so far.
        arrays = ((name, leaf) for name, leaf in held if np.ndim(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact))
        bad = next((name for name, leaf in arrays if not np.isfinite(leaf).all()), None) if self.finite else None
        if not processes.all_agree(bad is None):
            bad = bad or "a part that another process holds"
            raise NotFinite(f"step {step}: {bad} is not finite; checkpoints hold {self.steps()}")

    def _start(self, draft: Path, step: int, write: Callable[[], None]) -> None:
        """Write in a thread; what goes wrong is raised by wait() or check() in the main thread."""

        def work() -> None:
            try:
                write()
            except Exception as error:
                self._error = self._failed(draft, step, error)
                self._error.__cause__ = error

        thread = threading.Thread(target=work)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            raise self._failed(draft, step, error) from error
        self._thread = thread

    def _write(self, draft: Path, state: TrainState, meta: dict[str, Any]) -> None:
        delete(draft)
        draft.mkdir(parents=True)
        with orbax() as checkpointer:
            checkpointer.save((draft / "state").absolute(), jax.tree.map(nonempty, state))
        write_weights(draft / WEIGHTS, state)
        self._publish(draft, int(state.step), meta, {"leaves": {name: describe(leaf) for name, leaf in leaves(state)}})

    def _write_together(
        self, draft: Path, step: int, pieces: list[Piece], whole: Mapping[str, Any], meta: dict[str, Any]
    ) -> None:
        """Commit a state split over processes: each writes its shards, then the first process publishes them."""

        def publish() -> None:
            if processes.first():
                self._publish(draft, step, meta, {"leaves": whole, "pieces": shards.joined_manifest(draft)})

        self._meetings += 1
        name = f"fdl-save-{self._meetings}"
        processes.settle(f"{name}-pieces", lambda: shards.write_pieces(draft, pieces))
        processes.settle(f"{name}-commit", publish)

    def _failed(self, draft: Path, step: int, error: Exception) -> Fault:
        delete_until_gone(draft)
        with contextlib.suppress(OSError):  # removed meanwhile, or not empty
            self.folder.rmdir()
            self.folder.parent.rmdir()
        kept = ", ".join(map(str, self.steps())) or "none"
        return Fault(f"checkpoint {step} was not saved: {reason(error)}; kept: {kept}")

    def _publish(self, draft: Path, step: int, meta: Mapping[str, Any], proofs: Mapping[str, Any]) -> None:
        commit = {"fdl": __version__, "step": step, "run": self.run, "meta": meta, **proofs}
        write_commit(draft, {**commit, "files": digests_of_folder(draft, without=shards.is_piece)})
        self.check_owner()
        free(self.folder / str(step))
        draft.rename(self.folder / str(step))
        flush(self.folder)
        steps = self.steps()
        for old in set(steps) - self.keep.of(steps) - {self.best() if self.better else None}:
            free(self.folder / str(old))
        self.published()
