"""Frozen modules in training: they keep their model state and, where that is batch statistics, normalise by it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from flax import linen as nn

from fdl.core.types import Array, PyTree


def in_evaluation_mode(frozen: Sequence[str]) -> AbstractContextManager[None]:
    """Let frozen modules with batch statistics of their own work as in evaluation, as Keras does; dropout goes on.

    frozen: module paths, such as `Block_0/norm`; what lies below one is frozen as well.
    """
    if not frozen:
        return nullcontext()

    def call(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if kwargs.get("train") and _is_below("/".join(context.module.path), frozen):
            statistics = context.module.variables.get("batch_stats", {})
            if any(not isinstance(leaf, Mapping) for leaf in statistics.values()):
                kwargs = {**kwargs, "train": False}
        return method(*args, **kwargs)

    return nn.intercept_methods(call)


def keep(frozen: Sequence[str], updated: PyTree, model_state: PyTree) -> PyTree:
    """Return the updated model state with the old one below the frozen module paths."""

    def one(path: tuple[Any, ...], new: Array, old: Array) -> Array:
        return old if _is_below(jax.tree_util.keystr(path[1:], simple=True, separator="/"), frozen) else new

    return jax.tree_util.tree_map_with_path(one, updated, model_state) if frozen else updated


def _is_below(path: str, modules: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{module}/") for module in modules)
