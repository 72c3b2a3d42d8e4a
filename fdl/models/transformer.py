"""The Transformer: blocks of attention and a feed-forward network.

Shape legend: B batch, T positions, S positions of the memory, D width.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.attention import Attention
from fdl.models.kernels.block_stack import Remat, apply_blocks
from fdl.models.kernels.materialize import materialize
from fdl.models.kernels.token_head import token_logits
from fdl.models.layers import Activation, Dropout, Dtype, length_mask, stack

normal = nn.initializers.normal(0.02)


class Transformer(nn.Module):
    """A stack of Transformer blocks with a linear head at every position, or on the mean over positions.

    outputs:    output size; None returns the last block's normalised states [D].
    vocabulary: vocabulary size of token inputs, which are embedded; None means that inputs are features.
    hidden:     width of the feed-forward network; None is four times `width`.
    context:    the maximum sequence length.
    causal:     mask later positions (a decoder); else attention is bidirectional (an encoder).
    return_sequences: outputs at every position; else one, from the mean over the valid positions.
    positions:  learned or rotary position embeddings.
    tied:       tie the output head to the token embedding.
    remat:      what the backward pass recomputes instead of storing: nothing, all of a block but its matrix products,
                or all of a block.
    """

    outputs: int | None
    vocabulary: int | None = None
    width: int = 128
    depth: int = 2
    heads: int = 4
    hidden: int | None = None
    context: int = 256
    causal: bool = False
    return_sequences: bool = False
    positions: Literal["learned", "rotary"] = "learned"
    tied: bool = False
    dropout: float = 0.0
    dtype: Dtype | None = None
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        lengths: Array | None = None,
        *,
        decode: bool = False,
        factored: bool = False,
        train: bool = False,
    ) -> Any:
        """Return f32[B, outputs], or f32[B, T, outputs] if `return_sequences`.

        inputs:  i32[B, T] tokens or f32[B, T, ...] features, flattened to [B, T, C].
        lengths: i32[B], valid positions of each row; None means all.
        decode:  continue after the positions in the collection "cache", and add these to it; at most `context` in all.
        factored: tied outputs at every position may be returned as `TokenLogits`.
        """
        time = inputs.shape[1]
        if time > self.context:
            raise UserError(f"{time} positions do not fit context {self.context}; set context={time}")
        if self.tied and self.outputs != self.vocabulary:
            raise UserError(f"tied outputs are the vocabulary's {self.vocabulary}, not {self.outputs}; make them equal")
        offset = self._count(time) if decode else None

        # Embed tokens (or project features) and add the positions.
        if self.vocabulary is None:
            flat = jnp.reshape(inputs, (*inputs.shape[:2], -1))
            x = nn.Dense(self.width, dtype=self.dtype, kernel_init=normal, name="embed")(flat)
        else:
            embed = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, embedding_init=normal, name="embed")
            x = embed(inputs)
        if self.positions == "learned":
            position_embed = nn.Embed(
                self.context, self.width, dtype=self.dtype, embedding_init=normal, name="positions"
            )
            x = x + position_embed((0 if offset is None else offset) + jnp.arange(time)[None])
        x = Dropout(self.dropout)(x, train=train)
        block = functools.partial(
            Block,
            self.heads,
            self.hidden,
            causal=self.causal,
            context=self.context,
            rotary=self.positions == "rotary",
            depth=self.depth,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        x = apply_blocks(
            self, block, len(stack(self.depth)), x, train=train, remat=self.remat, offset=offset, lengths=lengths
        )
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(x)
        x = x if self.return_sequences else masked_mean(x, lengths)
        if self.outputs is None:
            return x
        if self.tied:
            return token_logits(x, embed.embedding, factored=factored and self.return_sequences)
        return nn.Dense(self.outputs, kernel_init=normal, name="head")(x)

    def _count(self, time: int) -> jax.Array:
        """Return i32[], the positions that the collection "cache" holds, and count `time` more."""
        cache_index = self.variable("cache", "seen", jnp.zeros, (), jnp.int32)
        before = cache_index.value
        if not self.is_initializing():
            cache_index.value = before + time
        return before


class Block(nn.Module):
    """A Transformer block: attention and a feed-forward network, each with a residual connection and layer norm.

    context:    size of the key-value cache, needed only for generation.
    norm_first: pre-norm (GPT-2), else post-norm (the original Transformer, BERT).
    depth:      blocks in the whole stack, by which residual output projections are scaled (Radford et al., 2019).
    """

    heads: int
    hidden: int | None = None
    causal: bool = False
    context: int = 0
    rotary: bool = False
    norm_first: bool = True
    activation: Activation = nn.gelu
    epsilon: float = 1e-5
    depth: int = 1
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        memory: jax.Array | None = None,
        *,
        lengths: Array | None = None,
        memory_lengths: Array | None = None,
        offset: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Return [B, T, D] from `x: [B, T, D]`, with cross-attention to `memory: [B, S, D]` if given.

        lengths, memory_lengths: i32[B], valid positions of `x` and of `memory`.
        offset: as in `Attention`.
        """
        small = nn.initializers.normal(0.02 / (2 * self.depth) ** 0.5)

        def residual(x: jax.Array, sublayer: Callable[[jax.Array], jax.Array], name: str) -> jax.Array:
            norm = nn.LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name=f"{name}_norm")
            drop = Dropout(self.dropout)
            if self.norm_first:
                return materialize(x + drop(sublayer(norm(x)), train=train))
            result: jax.Array = norm(materialize(x + drop(sublayer(x), train=train)))
            return result

        def attention(x: jax.Array) -> jax.Array:
            layer = Attention(
                self.heads, self.causal, self.context, self.rotary, self.dtype, out_init=small, name="attention"
            )
            return layer(x, lengths=lengths, offset=offset)

        def cross_attention(x: jax.Array) -> jax.Array:
            layer = Attention(self.heads, dtype=self.dtype, out_init=small, name="recall")
            return layer(x, memory, lengths=memory_lengths)

        def feed_forward(x: jax.Array) -> jax.Array:
            wide = nn.Dense(self.hidden or 4 * x.shape[-1], dtype=self.dtype, kernel_init=normal, name="up")(x)
            narrow = nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=small, name="down")
            return narrow(self.activation(wide))

        x = residual(x, attention, "attention")
        if memory is not None:
            x = residual(x, cross_attention, "recall")  # parameter names of earlier versions' checkpoints
        return residual(x, feed_forward, "mlp")


def masked_mean(x: jax.Array, lengths: Array | None) -> jax.Array:
    """Return [B, D], the mean of `x: [B, T, D]` over the valid positions."""
    if lengths is None:
        return x.mean(axis=1)
    mask = length_mask(lengths, x.shape[1])[..., None].astype(x.dtype)
    return (x * mask).sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)
