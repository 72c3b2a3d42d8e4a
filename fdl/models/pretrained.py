"""Pretrained weights, from a published file or another run, that replace the initial ones.

The names that libraries give to the tensors of each model are in `fdl.models.published`.
"""

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.models.leaf_names import is_exported, nested
from fdl.models.published.weight_files import local_path, read_tensors, weight_files


def published(
    file: Path | str,
    model: nn.Module | Callable[[Mapping[str, np.ndarray]], PyTree],
    *,
    fresh: Collection[str] = (),
) -> Callable[[PyTree], PyTree]:
    """Return the function for `Experiment.init_from`: initial variables -> variables with the file's weights.

    file:  as `weight_files.read_tensors` reads it.
    model: whose published names `fdl.models.published` knows, or a function: tensors by name -> variables.
    fresh: as in `fill`.
    """
    local_path(file)
    if isinstance(model, nn.Module):
        from fdl.models.published.convert import variables_of

        convert: Callable[[Mapping[str, np.ndarray]], PyTree] = functools.partial(variables_of, model)
    else:
        convert = model

    def load(initial: PyTree) -> PyTree:
        try:
            tensors = read_tensors(file)
            variables = nested(tensors) if is_exported(tensors) else convert(tensors)
            return fill(initial, variables, fresh=fresh)
        except KeyError as error:
            raise UserError(f"{file} has no tensor {error}: it is of another model or another size") from error

    def contents() -> str:
        if not local_path(file).exists():
            return ""
        return " ".join(map(seen_at_once, weight_files(file)))

    load.contents, load.fresh = contents, tuple(fresh)  # type: ignore[attr-defined]
    return load


def seen_at_once(file: Path) -> str:
    """Return a digest of a file's size and of its first and last MiB, for the identity of a run; "" without a file."""
    if not file.is_file():
        return ""
    size = file.stat().st_size
    with open(file, "rb") as opened:
        first = opened.read(2**20)
        opened.seek(max(0, size - 2**20))
        return hashlib.sha256(f"{size} ".encode() + first + opened.read()).hexdigest()[:16]


def fill(initial: PyTree, published: PyTree, *, fresh: Collection[str] = (), remedy: str = "fresh={}") -> PyTree:
    """Return `initial` with each leaf replaced by the published one of the same path, in the initial dtype.

    initial, published: variables as `model.init` gives them; leaves only in `published` (other heads) are ignored.
    fresh:              modules to keep initialised (a new head), by path within their collection.
    remedy:             how a user writes `fresh`; raises a UserError that names what does not fit, and this with it.
    """
    available = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(published)[0]
    }
    misfits: dict[str, str] = {}  # module -> what does not fit in it
    matched, taken = set(), False

    def leaf(path: tuple[Any, ...], ours: jax.Array) -> jax.Array | np.ndarray:
        nonlocal taken
        name, inside = (jax.tree_util.keystr(part, simple=True, separator="/") for part in (path, path[1:]))
        if within := {module for module in fresh if f"{inside}/".startswith(f"{module}/")}:
            matched.update(within)
            return ours
        module = inside.rpartition("/")[0] or inside
        if name not in available:
            misfits.setdefault(module, f"the weights have nothing for {name}")
            return ours
        if available[name].shape != ours.shape:
            theirs = f"{list(available[name].shape)} in the weights and {list(ours.shape)} in the model"
            misfits.setdefault(module, f"{name} is {theirs}")
            return ours
        taken = True
        result: jax.Array | np.ndarray = available[name].astype(ours.dtype)
        return result

    filled = jax.tree_util.tree_map_with_path(leaf, initial)
    if unknown := set(fresh) - matched:
        modules = ", ".join(initial["params"])
        raise UserError(f"no parameter is below {min(unknown)!r}, to be left as initialised; the model has {modules}")
    if misfits:
        first = next(iter(misfits.values()))
        if not taken:
            raise UserError(f"{first}, and nothing else fits; give the weights of this model")
        way = remedy.format(",".join([*fresh, *misfits]))
        raise UserError(f"{first}; they are of another model or size, or give {way} to initialise it")
    return filled
