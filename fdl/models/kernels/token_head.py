"""The head of a language model: logits, or their two factors where the task supports `TokenLogits`.

Shape legend: B batch, T time, D width, V vocabulary.
"""

import jax
import jax.numpy as jnp

from fdl.core import data_axis, kernel_choice
from fdl.core.types import TokenLogits

MIN_VOCABULARY = 4096  # below it, computing the logits in slices does not pay


def token_logits(
    x: jax.Array, table: jax.Array, bias: jax.Array | None = None, *, factored: bool = False
) -> jax.Array | TokenLogits:
    """Return logits f32[B, T, V], the products of `x: [B, T, D]` with the rows of `table: f32[V, D]`.

    factored: the caller supports `TokenLogits`, which are returned where that is faster.
    """
    if factored and _sliced(len(table)):
        return TokenLogits(x, table, bias)
    logits = jnp.einsum("btd,vd->btv", x, table.astype(x.dtype), preferred_element_type=jnp.float32)
    return logits if bias is None else logits + bias[None, None]


def _sliced(vocabulary: int) -> bool:
    """Return whether logits over this vocabulary are computed in slices, and note the reason."""
    grid, why = data_axis.grid(), ""
    if not kernel_choice.custom("token_head"):
        why = "all logits at once"
    elif vocabulary < MIN_VOCABULARY:
        why = f"all logits at once: {vocabulary:,} tokens are few"
    elif grid is not None and grid.model is not None:
        why = "all logits at once: the model axis splits the vocabulary"
    kernel_choice.note("token_head", why or "logits a slice of positions at a time")
    return not why
