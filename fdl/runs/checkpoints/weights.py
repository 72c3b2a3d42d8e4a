"""The weights of a checkpoint as plain safetensors beside its state: NumPy, torch and `--weights` read them."""

from pathlib import Path

import jax
import numpy as np

from fdl.core import optimizer_state
from fdl.core.types import TrainState
from fdl.models.leaf_names import flat_names

WEIGHTS = "weights.safetensors"


def write_weights(file: Path, state: TrainState) -> None:
    """Write the variables that a state of host arrays is evaluated with, by path: `params/Dense_0/kernel`."""
    from safetensors.numpy import save_file

    params = jax.tree.map(np.asarray, optimizer_state.evaluated(state.params, state.opt_state))
    tensors = flat_names({"params": params, **state.model_state})
    save_file({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, file)
