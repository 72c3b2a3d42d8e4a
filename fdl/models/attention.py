"""Attention: every position asks all those that it may see.

Shape legend: B batch, T positions that ask, S positions that are asked, H heads, K head width, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.models.layers import Dtype, counts
from fdl.types import Array


class Attention(nn.Module):
    """Attend with several heads: softmax(q·kᵀ / √K)·v, projected back. Paper: Vaswani et al., 2017.

    The weights f32[B, H, T, S] are sown as "attention" in the collection "intermediates" for whoever asks for it.
    """

    heads: int
    causal: bool = False
    dtype: Dtype | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    out_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, x: jax.Array, memory: jax.Array | None = None, lengths: Array | None = None) -> jax.Array:
        """Return [B, T, D] for `x: [B, T, D]`, which asks `memory: [B, S, D]`, or itself if there is none.

        lengths: i32[B], how many of the positions asked count; None means all.
        """
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"width {width} does not divide over {self.heads} heads; try {width - width % self.heads}")
        split = (self.heads, width // self.heads)
        asked = x if memory is None else memory
        query = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="query")(x)
        key = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="key")(asked)
        value = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="value")(asked)
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "attention", attention_weights(query, key, causal=self.causal, lengths=lengths))
        y = attend(query, key, value, causal=self.causal, lengths=lengths)
        return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, kernel_init=self.out_init, name="out")(y)


def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, *, causal: bool = False, lengths: Array | None = None
) -> jax.Array:
    """Return [B, T, H, K] from `query: [B, T, H, K]` and `key, value: [B, S, H, K]`: the one place of attention.

    causal:  position t sees only positions up to t.
    lengths: i32[B], how many keys of each row count; None means all.
    """
    weights = attention_weights(query, key, causal=causal, lengths=lengths)
    return jnp.einsum("bhts,bshk->bthk", weights.astype(value.dtype), value)


def attention_weights(
    query: jax.Array, key: jax.Array, *, causal: bool = False, lengths: Array | None = None
) -> jax.Array:
    """Return f32[B, H, T, S], how much each position heeds each other: rows that sum to one."""
    scores = jnp.einsum("bthk,bshk->bhts", query, key, preferred_element_type=jnp.float32) / query.shape[-1] ** 0.5
    asking, asked = query.shape[1], key.shape[1]
    visible = jnp.ones((1, 1, asking, asked), bool)
    if causal:
        visible &= jnp.tri(asking, asked, dtype=bool)[None, None]
    if lengths is not None:
        visible &= counts(lengths, asked)[:, None, None]
    return nn.softmax(jnp.where(visible, scores, jnp.finfo(jnp.float32).min))
