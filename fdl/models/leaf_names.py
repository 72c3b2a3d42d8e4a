"""Names of the leaves of variables, as fdl writes them to a file of tensors: `params/Dense_0/kernel`."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np

from fdl.core.types import PyTree


def is_exported(tensors: Collection[str]) -> bool:
    """Say whether names of tensors are those that `flat_names` gives, of a run of fdl."""
    return any(name.startswith("params/") for name in tensors)


def flat_names(variables: PyTree) -> dict[str, np.ndarray]:
    """Return variables as tensors by path, such as `params/Dense_0/kernel`; `nested` is the inverse."""
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def nested(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return tensors by path as variables."""
    variables: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *folders, leaf = name.split("/")
        inside = variables
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[leaf] = tensor
    return variables
