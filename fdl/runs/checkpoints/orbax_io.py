"""Reading and writing the leaves of a train state with Orbax, in one process."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core.errors import Damaged, brief
from fdl.core.types import Array, PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.checkpoints.digest import verify_leaf
from fdl.runs.checkpoints.structure import TrainState01, leaves


def orbax() -> Any:
    """Make an Orbax checkpointer for this process only: in a multi-process run the first one has gathered the state."""
    import orbax.checkpoint as ocp

    cache_kvstore_specs()
    disable_tensorstore_fsync()
    if processes.count() == 1:
        return ocp.PyTreeCheckpointer()
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}, barrier_sync_key_prefix="first")
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def restore(folder: Path, like: PyTree = None) -> PyTree:
    """Restore with Orbax, in the structure of `like` or as dictionaries; raise Damaged."""
    try:
        with orbax() as checkpointer:
            return checkpointer.restore(folder.absolute(), item=like)
    except Exception as error:  # Orbax has no single exception for damage
        raise Damaged(f"{folder} does not read: {brief(error)}") from error


def read(folder: Path, want: TrainState, proofs: Mapping[str, Mapping[str, Any]], by: str) -> TrainState:
    """Restore the state in `folder` and verify every leaf; raise Damaged.

    by: the version of fdl that wrote it; 0.1 named the fields differently.
    """
    like = jax.tree.map(nonempty, want)
    held = TrainState(*restore(folder, TrainState01(*like))) if by.startswith("0.1.") else restore(folder, like)
    state: TrainState = jax.tree.map(lambda leaf, like: leaf if like.size else like, held, want)
    for name, leaf in leaves(state):
        verify_leaf(folder, name, leaf, proofs[name])
    return state


def nonempty(leaf: Array) -> Array:
    """Replace an empty array, which Orbax does not save, by one zero."""
    return leaf if leaf.size else np.zeros(1, leaf.dtype)


@cache
def disable_tensorstore_fsync() -> None:
    """Switch off TensorStore's fsync per file: `Checkpoints` syncs everything once, before publishing.

    Some file systems do not support fsync for folders, which TensorStore treats as an error.
    """
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):  # no public name
        getattr(tensorstore_utils, name, {}).setdefault("file_io_sync", False)


@cache
def cache_kvstore_specs() -> None:
    """Cache `KvStore.Spec.to_json` for the leaves of a checkpoint.

    TensorStore (0.1.86) leaks the string it returns, some 450 bytes, and Orbax calls it with the same arguments for
    every leaf of every save.
    """
    from tensorstore import KvStore

    resolve, last = KvStore.Spec.to_json, dict[str, Any]()

    def to_json(spec: KvStore.Spec, include_defaults: bool | None = None) -> Any:
        request = f"{spec!r} {include_defaults}"
        if (response := last.get(request)) is None:
            response = resolve(spec, include_defaults)
            last.clear()
            last[request] = response
        return dict(response)

    KvStore.Spec.to_json = to_json  # type: ignore[method-assign, assignment]
