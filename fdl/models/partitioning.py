"""Logical axis names of parameters, from which a mesh's sharding rules are derived.

One table per module class, with paths relative to the module. An outer module's entry takes precedence over an inner
one's: a block knows that its second dense layer consumes the hidden axis that its first produces.
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
    """Return parameter path -> logical axis names, for all parameters that have any; shapes are only traced.

    args, kwargs: the model's call arguments.
    """
    kinds: dict[tuple[str, ...], type[nn.Module]] = {}

    def record(call: Any, these: Any, those: Any, context: nn.module.InterceptorContext) -> Any:
        kinds[context.module.path] = type(context.module)
        return call(*these, **those)

    with nn.intercept_methods(record):
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *args, **kwargs))["params"]
    by_path = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(shapes)[0]:
        path = tuple(key.key for key in keys)
        for depth in range(len(path)):
            named = LOGICAL.get(kinds.get(path[:depth], nn.Module), {}).get("/".join(path[depth:]))
            if named is not None and len(named) == leaf.ndim:
                by_path[path] = named
                break
    return by_path
