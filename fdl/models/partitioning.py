"""Logical names: what each dimension of a parameter means, so that a mesh can be told which of them to split.

A table per kind of module, beside the modules. Paths are within the module; what an outer module says of a parameter
goes before what an inner one says: a block knows that its second dense layer takes in what its first gave out.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from fdl.models.attention import Attention
from fdl.models.layers import Conv
from fdl.models.transformer import Block

Names = tuple[str, ...]

LOGICAL: Mapping[type[nn.Module], Mapping[str, Names]] = {
    Attention: {
        **{f"{part}/kernel": ("width", "heads", "head") for part in ("query", "key", "value")},
        **{f"{part}/bias": ("heads", "head") for part in ("query", "key", "value")},
        "out/kernel": ("heads", "head", "width"),
        "out/bias": ("width",),
    },
    Block: {
        "up/kernel": ("width", "hidden"),
        "up/bias": ("hidden",),
        "down/kernel": ("hidden", "width"),
        "down/bias": ("width",),
    },
    nn.Embed: {"embedding": ("vocabulary", "width")},
    nn.Dense: {"kernel": ("inputs", "hidden"), "bias": ("hidden",)},
    Conv: {"kernel": ("height", "breadth", "inputs", "hidden"), "bias": ("hidden",)},
}


def names(model: nn.Module, *args: Any, **kwargs: Any) -> dict[tuple[str, ...], Names]:
    """Return path of a parameter -> the names of its dimensions, for all that have any; nothing is computed.

    args, kwargs: what the model is called with.
    """
    kinds: dict[tuple[str, ...], type[nn.Module]] = {}

    def note(call: Any, these: Any, those: Any, context: nn.module.InterceptorContext) -> Any:
        kinds[context.module.path] = type(context.module)
        return call(*these, **those)

    with nn.intercept_methods(note):
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *args, **kwargs))["params"]
    found = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(shapes)[0]:
        path = tuple(key.key for key in keys)
        for depth in range(len(path)):
            named = LOGICAL.get(kinds.get(path[:depth], nn.Module), {}).get("/".join(path[depth:]))
            if named is not None and len(named) == leaf.ndim:
                found[path] = named
                break
    return found
