"""Multi-head attention.

Shape legend: B batch, T query positions, S key positions, H heads, K head width, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import kernel_choice
from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.kernels import flash_attention
from fdl.models.layers import Dtype, length_mask


class Attention(nn.Module):
    """Multi-head attention: softmax(q·kᵀ / √K)·v and an output projection. Paper: Vaswani et al., 2017.

    The attention weights f32[B, H, T, S] are sown as "attention" if the collection "intermediates" is mutable.

    context: the maximum sequence length, the size of the key-value cache; needed only for generation.
    rotary:  apply rotary position embeddings to queries and keys (Su et al., 2021).
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
        """Return [B, T, D]: self-attention of `x: [B, T, D]`, or cross-attention to `memory: [B, S, D]` if given.

        lengths: i32[B], the number of valid key positions of each row; None means all.
        offset:  i32[], the number of positions of earlier calls: their keys and values are in the collection "cache",
                 to which those of `x` are added. None: `x` is the whole sequence, no cache.
        """
        width = x.shape[-1]
        if width % self.heads:
            raise UserError(f"width {width} does not divide over {self.heads} heads; try {width - width % self.heads}")
        split = (self.heads, width // self.heads)
        source = x if memory is None else memory
        query = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="query")(x)
        key = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="key")(source)
        value = nn.DenseGeneral(split, dtype=self.dtype, kernel_init=self.kernel_init, name="value")(source)
        start = jnp.zeros((), jnp.int32) if offset is None else offset
        if self.rotary:
            query, key = rotate(query, start), rotate(key, start)
        if offset is not None:
            key, value = self._update_cache("keys", key, start), self._update_cache("values", value, start)
        if self.is_mutable_collection("intermediates"):
            weights = attention_weights(query, key, causal=self.causal, lengths=lengths, offset=start)
            self.sow("intermediates", "attention", weights)
        y = attend(query, key, value, causal=self.causal, lengths=lengths, offset=offset)
        return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, kernel_init=self.out_init, name="out")(y)

    def _update_cache(self, name: str, new: jax.Array, start: jax.Array) -> jax.Array:
        """Write `new: [B, T, H, K]` into the cache from position `start` on; return the whole cache."""
        batch, _, heads, size = new.shape
        cache = self.variable("cache", name, jnp.zeros, (batch, self.context, heads, size), new.dtype)
        if not self.is_initializing():
            cache.value = lax.dynamic_update_slice(cache.value, new, (0, start, 0, 0))
        return cache.value


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    causal: bool = False,
    lengths: Array | None = None,
    offset: jax.Array | None = None,
) -> jax.Array:
    """Return attention [B, T, H, K] of `query: [B, T, H, K]` and `key, value: [B, S, H, K]`, by the best kernel.

    causal:  query t, at position offset + t, attends only to keys up to its position.
    lengths: i32[B], the number of valid keys of each row, at least one; None means all.
    offset:  i32[], the position of the first query where the keys are a cache; None means no cache.

    >>> alike = jnp.zeros((1, 2, 1, 1))  # scores that are equal give the mean of the values that a query may see
    >>> attend(alike, alike, jnp.array([2.0, 4.0]).reshape(1, 2, 1, 1), causal=True).ravel().tolist()
    [2.0, 3.0]
    """
    form, why = flash_attention.choose(query, key, decoding=offset is not None)
    kernel_choice.note("attention", f"{form}: {why}")
    if lengths is not None:  # fused kernels return NaN for a row without keys
        lengths = jnp.maximum(jnp.asarray(lengths, jnp.int32), 1)
    if form != "reference":
        kernel = flash_attention.cudnn if form == "cudnn" else flash_attention.splash
        return kernel(query, key, value, causal=causal, lengths=lengths)
    start = 0 if offset is None else offset
    weights = attention_weights(query, key, causal=causal, lengths=lengths, offset=start)
    return jnp.einsum("bhts,bshk->bthk", weights.astype(value.dtype), value)


def attention_weights(
    query: jax.Array,
    key: jax.Array,
    *,
    causal: bool = False,
    lengths: Array | None = None,
    offset: int | jax.Array = 0,
) -> jax.Array:
    """Return the attention weights f32[B, H, T, S]: a softmax over the keys."""
    scores = jnp.einsum("bthk,bshk->bhts", query, key, preferred_element_type=jnp.float32) / query.shape[-1] ** 0.5
    queries, keys = query.shape[1], key.shape[1]
    mask = jnp.ones((1, 1, queries, keys), bool)
    if causal:
        mask &= (jnp.arange(keys)[None] <= (offset + jnp.arange(queries))[:, None])[None, None]
    if lengths is not None:
        mask &= length_mask(lengths, keys)[:, None, None]
    return nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min))


def rotate(x: jax.Array, start: int | jax.Array = 0) -> jax.Array:
    """Apply rotary position embeddings: rotate each pair (x[i], x[i + K/2]) by its position times 10000^(-2i/K).

    The dot product of two rotated vectors then depends only on their relative position. x: [B, T, H, K].
    """
    half = x.shape[-1] // 2
    frequencies = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (start + jnp.arange(x.shape[1])).astype(jnp.float32)[:, None] * frequencies[None]
    cos, sin = jnp.cos(angle)[None, :, None], jnp.sin(angle)[None, :, None]
    left, right = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1).astype(x.dtype)
