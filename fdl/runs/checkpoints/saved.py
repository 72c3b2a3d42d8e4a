"""A checkpoint that was read, and how every process comes to have it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.core.types import TrainState
from fdl.parallel import processes
from fdl.runs.checkpoints.structure import plain


class Saved(NamedTuple):
    """A checkpoint that was read and verified: its step, its state as host arrays, and what was written beside it."""

    step: int
    state: TrainState
    meta: Mapping[str, Any]


def shared(found: Saved | None, like: TrainState) -> Saved | None:
    """Give every process the checkpoint that the first one found; `like` is its structure."""
    told = processes.on_first_process(lambda: found and {"step": found.step, "meta": found.meta})
    if told is None:
        return None
    state = processes.broadcast_from_first(found and plain(found.state), jax.eval_shape(plain, like))
    return Saved(told["step"], state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key))), told["meta"])
