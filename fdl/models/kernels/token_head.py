"""The head of a language model: logits, or their two factors where the task can take these.

Shape legend: B batch, T time, D width, V vocabulary.
"""

import jax
import jax.numpy as jnp

from fdl.core import data_axis, kernel_choice
from fdl.core.types import TokenLogits

MANY = 4096  # tokens of a vocabulary from which on the logits are worth not being made at once


def token_logits(
    x: jax.Array, table: jax.Array, bias: jax.Array | None = None, *, factored: bool = False
) -> jax.Array | TokenLogits:
    """Return f32[B, T, V], how well each of `x: [B, T, D]` agrees with each row of `table: f32[V, D]`.

    factored: the caller takes `TokenLogits` as well, and gets them where that is the faster way.
    """
    if factored and _sliced(len(table)):
        return TokenLogits(x, table, bias)
    logits = jnp.einsum("btd,vd->btv", x, table.astype(x.dtype), preferred_element_type=jnp.float32)
    return logits if bias is None else logits + bias[None, None]


def _sliced(vocabulary: int) -> bool:
    """Say whether logits over this vocabulary are made a slice at a time, and note why."""
    grid, why = data_axis.grid(), ""
    if not kernel_choice.custom("token_head"):
        why = "all logits at once"
    elif vocabulary < MANY:
        why = f"all logits at once: {vocabulary:,} tokens are few"
    elif grid is not None and grid.model is not None:
        why = "all logits at once: the model axis splits the vocabulary"
    kernel_choice.note("token_head", why or "logits a slice of positions at a time")
    return not why
