"""Weights to begin with, from a published file or from another run: they take the place of what init drew.

How the names of a file map to those of a model stands beside the model (`gpt2_variables`, `bert_variables`, …).
"""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import jax
import numpy as np

from fdl.core.types import PyTree


def published(
    file: Path | str, named: Callable[[Mapping[str, np.ndarray]], PyTree], *, fresh: Collection[str] = ()
) -> Callable[[PyTree], PyTree]:
    """Return the function that takes drawn variables and returns those of a file: what `Experiment.init_from` wants.

    named: variables from tensors by the names of the file; fresh: as in `fill`.
    """

    def start(drawn: PyTree) -> PyTree:
        try:
            return fill(drawn, named(read(file)), fresh=fresh)
        except KeyError as error:
            raise ValueError(f"{file} has no tensor {error}: it is of another model or another size") from error

    return start


def read(file: Path | str) -> dict[str, np.ndarray]:
    """Return every tensor of a safetensors file by its name; raise a ValueError where it is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise ValueError(f"there is no file {file}; give the path of a .safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no safetensors file of floats that NumPy knows ({error}); convert it") from error


def fill(drawn: PyTree, published: PyTree, *, fresh: Collection[str] = ()) -> PyTree:
    """Return `drawn` with each leaf replaced by the published one of the same path, in the dtype that was drawn.

    drawn, published: variables as `model.init` gives them; what only `published` has, other heads, is left out.
    fresh:            modules that stay as drawn, a head that is to be learnt, by path within their collection.
    """
    there = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(published)[0]
    }

    def leaf(path: tuple, ours: jax.Array) -> jax.Array | np.ndarray:
        name, inside = (jax.tree_util.keystr(part, simple=True, separator="/") for part in (path, path[1:]))
        if any(f"{inside}/".startswith(f"{module}/") for module in fresh):
            return ours
        if name not in there:
            raise ValueError(f"the weights have nothing for {name}; they are another model's, or it must stay as drawn")
        if there[name].shape != ours.shape:
            raise ValueError(f"{name} is {list(there[name].shape)} in the weights and {list(ours.shape)} in the model")
        return there[name].astype(ours.dtype)

    return jax.tree_util.tree_map_with_path(leaf, drawn)
