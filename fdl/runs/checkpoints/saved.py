"""A restored checkpoint, and its broadcast to all processes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.core.types import TrainState
from fdl.parallel import processes
from fdl.runs.checkpoints.structure import plain


class Saved(NamedTuple):
    """A restored and verified checkpoint: its step, its state as host arrays, and its metadata."""

    step: int
    state: TrainState
    meta: Mapping[str, Any]


def shared(saved: Saved | None, like: TrainState) -> Saved | None:
    """Broadcast the checkpoint of the first process to all; `like` gives its structure."""
    response = processes.on_first_process(lambda: saved and {"step": saved.step, "meta": saved.meta})
    if response is None:
        return None
    state = processes.broadcast_from_first(saved and plain(saved.state), jax.eval_shape(plain, like))
    return Saved(
        response["step"], state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key))), response["meta"]
    )
