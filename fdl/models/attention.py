"""Attention: every position asks all those that it may see.

Shape legend: B batch, T positions that ask, S positions that are asked, H heads, K head width, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import kernel_choice
from fdl.core.types import Array
from fdl.models.kernels import flash_attention
from fdl.models.layers import Dtype, counts


class Attention(nn.Module):
    """Attend with several heads: softmax(q·kᵀ / √K)·v, projected back. Paper: Vaswani et al., 2017.

    The weights f32[B, H, T, S] are sown as "attention" in the collection "intermediates" for whoever asks for it.

    context: the longest sequence, needed only to keep keys and values while generating.
    rotary:  turn queries and keys by their positions (Su et al., 2021).
    """

    heads: int
    causal: bool = False
    context: int = 0
    rotary: bool = False
    dtype: Dtype | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    out_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        memory: jax.Array | None = None,
        *,
        lengths: Array | None = None,
        offset: jax.Array | None = None,
    ) -> jax.Array:
        """Return [B, T, D] for `x: [B, T, D]`, which asks `memory: [B, S, D]`, or itself if there is none.

        lengths: i32[B], how many of the positions asked count; None means all.
        offset:  i32[], positions seen in earlier calls: their keys and values are in the collection "cache", where
                 those of `x` join them. None means that this is the whole sequence.
        """
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"width {width} does not divide over {self.heads} heads; try {width - width % self.heads}")
        split = (self.heads, width // self.heads)
        asked = x if memory is None else memory
        query = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="query")(x)
        key = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="key")(asked)
        value = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="value")(asked)
        first = jnp.zeros((), jnp.int32) if offset is None else offset
        if self.rotary:
            query, key = rotate(query, first), rotate(key, first)
        if offset is not None:
            key, value = self._remember("keys", key, first), self._remember("values", value, first)
        if self.is_mutable_collection("intermediates"):
            seen = attention_weights(query, key, causal=self.causal, lengths=lengths, offset=first)
            self.sow("intermediates", "attention", seen)
        y = attend(query, key, value, causal=self.causal, lengths=lengths, offset=offset)
        return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, kernel_init=self.out_init, name="out")(y)

    def _remember(self, name: str, new: jax.Array, first: jax.Array) -> jax.Array:
        """Write `new: [B, T, H, K]` into the cache from position `first` on and return all of it."""
        batch, _, heads, size = new.shape
        kept = self.variable("cache", name, jnp.zeros, (batch, self.context, heads, size), new.dtype)
        if not self.is_initializing():
            kept.value = lax.dynamic_update_slice(kept.value, new, (0, first, 0, 0))
        return kept.value


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    causal: bool = False,
    lengths: Array | None = None,
    offset: jax.Array | None = None,
) -> jax.Array:
    """Return [B, T, H, K] from `query: [B, T, H, K]` and `key, value: [B, S, H, K]`: the one place of attention.

    causal:  the query at place t, position offset + t, sees only keys up to its position.
    lengths: i32[B], how many keys of each row count, at least one; None means all.
    offset:  i32[], positions before the first query, where the keys are a cache; None means that there is none.
    """
    form, why = flash_attention.choose(query, key, decoding=offset is not None)
    kernel_choice.note("attention", f"{form}: {why}")
    if lengths is not None:  # a row without any key would be NaN in a fused kernel
        lengths = jnp.maximum(jnp.asarray(lengths, jnp.int32), 1)
    if form != "reference":
        kernel = flash_attention.cudnn if form == "cudnn" else flash_attention.splash
        return kernel(query, key, value, causal=causal, lengths=lengths)
    first = 0 if offset is None else offset
    weights = attention_weights(query, key, causal=causal, lengths=lengths, offset=first)
    return jnp.einsum("bhts,bshk->bthk", weights.astype(value.dtype), value)


def attention_weights(
    query: jax.Array,
    key: jax.Array,
    *,
    causal: bool = False,
    lengths: Array | None = None,
    offset: int | jax.Array = 0,
) -> jax.Array:
    """Return f32[B, H, T, S], how much each position heeds each other: rows that sum to one."""
    scores = jnp.einsum("bthk,bshk->bhts", query, key, preferred_element_type=jnp.float32) / query.shape[-1] ** 0.5
    asking, asked = query.shape[1], key.shape[1]
    visible = jnp.ones((1, 1, asking, asked), bool)
    if causal:
        visible &= (jnp.arange(asked)[None] <= (offset + jnp.arange(asking))[:, None])[None, None]
    if lengths is not None:
        visible &= counts(lengths, asked)[:, None, None]
    return nn.softmax(jnp.where(visible, scores, jnp.finfo(jnp.float32).min))


def rotate(x: jax.Array, first: int | jax.Array = 0) -> jax.Array:
    """Turn each pair (x[i], x[i + K/2]) of `x: [B, T, H, K]` by its position times 10000^(-2i/K).

    The product of two such vectors then depends on how far apart they are and not on where.
    """
    half = x.shape[-1] // 2
    speed = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (first + jnp.arange(x.shape[1])).astype(jnp.float32)[:, None] * speed[None]
    cos, sin = jnp.cos(angle)[None, :, None], jnp.sin(angle)[None, :, None]
    left, right = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1).astype(x.dtype)
