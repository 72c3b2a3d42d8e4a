"""Orbax, as far as fdl uses it: one process reads and writes the leaves of a train state."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core.errors import Damaged, brief
from fdl.core.types import Array, PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.checkpoints.digest import prove
from fdl.runs.checkpoints.structure import TrainState01, leaves


def orbax() -> Any:
    """Make Orbax's checkpointer for this process alone: the first of several has what the others hold."""
    import orbax.checkpoint as ocp

    mend_specs()
    leave_flushing()
    if processes.count() == 1:
        return ocp.PyTreeCheckpointer()
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}, barrier_sync_key_prefix="first")
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def restore(folder: Path, like: PyTree = None) -> PyTree:
    """Return what Orbax reads, in the structure of `like` or in dictionaries; raise Damaged."""
    try:
        with orbax() as checkpointer:
            return checkpointer.restore(folder.absolute(), item=like)
    except Exception as error:  # whatever Orbax makes of damage
        raise Damaged(f"{folder} does not read: {brief(error)}") from error


def read(folder: Path, want: TrainState, proofs: Mapping[str, Mapping[str, Any]], by: str) -> TrainState:
    """Return the state that Orbax saved in `folder`, every leaf proven; raise Damaged.

    by: the version of fdl that wrote it; 0.1 named the fields differently.
    """
    like = jax.tree.map(solid, want)
    held = TrainState(*restore(folder, TrainState01(*like))) if by.startswith("0.1.") else restore(folder, like)
    state: TrainState = jax.tree.map(lambda leaf, like: leaf if like.size else like, held, want)
    for name, leaf in leaves(state):
        prove(folder, name, leaf, proofs[name])
    return state


def solid(leaf: Array) -> Array:
    """Return one zero in the place of an array without any number, which Orbax does not save."""
    return leaf if leaf.size else np.zeros(1, leaf.dtype)


@cache
def leave_flushing() -> None:
    """Keep TensorStore from flushing each file and its folder: `Checkpoints` does, once and before it publishes them.

    Some file systems refuse it for folders, which fdl bears and TensorStore does not.
    """
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):  # no public name
        getattr(tensorstore_utils, name, {}).setdefault("file_io_sync", False)


@cache
def mend_specs() -> None:
    """Let TensorStore resolve the spec of a key-value store once for all leaves of a checkpoint.

    It never frees the strings that `KvStore.Spec.to_json` returns (0.1.86), and Orbax asks it the same for every leaf
    of every save: some 450 bytes each.
    """
    from tensorstore import KvStore

    resolve, last = KvStore.Spec.to_json, dict[str, Any]()

    def to_json(spec: KvStore.Spec, include_defaults: bool | None = None) -> Any:
        asked = f"{spec!r} {include_defaults}"
        if (told := last.get(asked)) is None:
            told = resolve(spec, include_defaults)
            last.clear()
            last[asked] = told
        return dict(told)

    KvStore.Spec.to_json = to_json  # type: ignore[method-assign, assignment]
