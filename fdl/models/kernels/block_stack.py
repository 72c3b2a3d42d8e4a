"""Blocks of one kind one after another: each compiled by itself, or all as the body of one loop.

Twelve blocks are a twelfth of the program in a loop, and a TPU's compiler takes that much less time. Their parameters
keep their own names outside the step, Block_0 and so on: they are stacked where they are read.

Shape legend: B batch, T time, D width.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import kernel_choice

Remat = Literal["none", "dots", "all"]
FEWEST = 4  # blocks, below which a loop saves little


def apply_blocks(
    parent: nn.Module,
    make: Callable[..., nn.Module],
    depth: int,
    x: jax.Array,
    *,
    train: bool,
    remat: Remat = "none",
    offset: jax.Array | None = None,
    **arguments: Any,
) -> jax.Array:
    """Return array[B, T, D], `x` after `depth` blocks that `make(name=…)` makes inside the module `parent`.

    arguments: of every block's call, beside `train` and `offset`, which is given while text is generated.
    remat: what the backward pass computes again (`fdl.models.transformer.Transformer`).
    In a loop each block draws its dropout from its number and not from its name.
    """
    names = [f"Block_{number}" for number in range(depth)]
    if not _loops(parent, depth, x, offset):
        kind: Any = type(make(parent=None))
        call = functools.partial(kind.__call__, train=train, offset=offset, **arguments)
        if remat != "none":
            call = nn.remat(call, policy=_POLICIES[remat])
        for name in names:
            x = call(make(name=name), x)
        return x
    params = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(_plain(parent.get_variable("params", name)) for name in names)
    )
    keys = jax.random.split(parent.make_rng("dropout"), depth) if train and parent.has_rng("dropout") else None
    block = make(parent=None)

    def one(x: jax.Array, own: tuple[Any, jax.Array | None]) -> tuple[jax.Array, None]:
        variables, rngs = {"params": own[0]}, {} if own[1] is None else {"dropout": own[1]}
        return jnp.asarray(block.apply(variables, x, train=train, **arguments, rngs=rngs)), None

    if remat != "none":
        one = jax.checkpoint(one, policy=_POLICIES[remat], prevent_cse=False)
    return lax.scan(one, x, (params, keys))[0]


def _loops(parent: nn.Module, depth: int, x: jax.Array, offset: jax.Array | None) -> bool:
    """Say whether blocks are a loop here, and note why."""
    why = ""
    if not kernel_choice.custom("block_scan"):
        why = "each block by itself"
    elif depth < FEWEST:
        why = f"each block by itself: {depth} are few"
    elif parent.is_initializing() or offset is not None:
        why = "each block by itself: it has variables of its own"
    elif parent.is_mutable_collection("intermediates") or not isinstance(x, jax.core.Tracer):
        why = "each block by itself: somebody looks at it"
    if not parent.is_initializing():
        kernel_choice.note("block_scan", why or f"{depth} blocks as one loop")
    return not why


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Mapping) else value for name, value in tree.items()}


_POLICIES: Mapping[str, Any] = {"dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable, "all": None}
