"""The Transformer: attention and a two-layer net per position, block upon block.

Shape legend: B batch, T positions, S positions of the memory, D width.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.attention import Attention
from fdl.models.kernels.materialize import materialize
from fdl.models.kernels.token_head import token_logits
from fdl.models.layers import Activation, Dropout, Dtype, counts, stack

Remat = Literal["none", "dots", "all"]
normal = nn.initializers.normal(0.02)


class Transformer(nn.Module):
    """Read a sequence with a stack of blocks and answer at every position, or once for all.

    outputs:    how many numbers an answer has; None gives the last block's [D].
    vocabulary: the inputs are tokens below it, each to be embedded; None means that they are features.
    hidden:     width of the net inside a block; None is four times `width`.
    context:    the longest sequence.
    causal:     a decoder, where no position sees a later one; else an encoder.
    return_sequences: answer at every position; else once, from the mean over the positions that `lengths` lets be seen.
    positions:  a learned vector for each, or queries and keys rotated by it.
    tied:       the outputs are the products with the embeddings of the tokens.
    remat:      what the backward pass computes a second time instead of keeping it: nothing, all of a block but its
                matrix products, or all of a block.
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

        inputs:  i32[B, T] tokens or f32[B, T, ...] features, whose further dimensions are laid side by side.
        lengths: i32[B], positions that count in each row; None means all.
        decode:  go on after the positions that the collection "cache" remembers, and remember these too. No more than
                 `context` in all.
        factored: tied outputs at every position may be `TokenLogits`.
        """
        time = inputs.shape[1]
        if time > self.context:
            raise ValueError(f"{time} positions do not fit context {self.context}; set context={time}")
        if self.tied and self.outputs != self.vocabulary:
            raise ValueError(
                f"tied outputs are the vocabulary's {self.vocabulary}, not {self.outputs}; make them equal"
            )
        offset = None
        if decode:
            seen = self.variable("cache", "seen", jnp.zeros, (), jnp.int32)
            offset = seen.value
            if not self.is_initializing():
                seen.value = offset + time

        if self.vocabulary is None:
            flat = jnp.reshape(inputs, (*inputs.shape[:2], -1))
            x = nn.Dense(self.width, dtype=self.dtype, kernel_init=normal, name="embed")(flat)
        else:
            embed = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, embedding_init=normal, name="embed")
            x = embed(inputs)
        if self.positions == "learned":
            places = nn.Embed(self.context, self.width, dtype=self.dtype, embedding_init=normal, name="positions")
            x = x + places((0 if offset is None else offset) + jnp.arange(time)[None])
        x = Dropout(self.dropout)(x, train=train)
        for _ in stack(self.depth):
            block = Block(
                self.heads,
                self.hidden,
                causal=self.causal,
                context=self.context,
                rotary=self.positions == "rotary",
                depth=self.depth,
                dropout=self.dropout,
                dtype=self.dtype,
            )
            call = functools.partial(Block.__call__, lengths=lengths, offset=offset, train=train)
            x = again(call, self.remat)(block, x)
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(x)
        x = x if self.return_sequences else masked_mean(x, lengths)
        if self.outputs is None:
            return x
        if self.tied:
            return token_logits(x, embed.embedding, factored=factored and self.return_sequences)
        return nn.Dense(self.outputs, kernel_init=normal, name="head")(x)


def again(call: Callable[..., jax.Array], remat: Remat) -> Callable[..., jax.Array]:
    """Return the call of a module, of which the backward pass computes some again: less memory, more time."""
    if remat == "none":
        return call
    return nn.remat(call, policy=jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None)


class Block(nn.Module):
    """Add what attention finds, then what a two-layer net makes of it, each of the normalised stream.

    context:    needed only to generate step by step.
    norm_first: normalise what goes into a part (GPT-2), else what comes out of the sum (the first Transformer, BERT).
    depth:      blocks in the whole stack: what each adds starts smaller the more there are (Radford et al., 2019).
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
        """Return [B, T, D] from `x: [B, T, D]`; with `memory: [B, S, D]`, attention to it comes between.

        lengths, memory_lengths: i32[B], how many positions of either count.
        offset: as `Attention` takes it.
        """
        small = nn.initializers.normal(0.02 / (2 * self.depth) ** 0.5)

        def add(x: jax.Array, part: Callable[[jax.Array], jax.Array], name: str) -> jax.Array:
            norm = nn.LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name=f"{name}_norm")
            drop = Dropout(self.dropout)
            if self.norm_first:
                return materialize(x + drop(part(norm(x)), train=train))
            return norm(materialize(x + drop(part(x), train=train)))

        def attention(x: jax.Array) -> jax.Array:
            layer = Attention(
                self.heads, self.causal, self.context, self.rotary, self.dtype, out_init=small, name="attention"
            )
            return layer(x, lengths=lengths, offset=offset)

        def recall(x: jax.Array) -> jax.Array:
            layer = Attention(self.heads, dtype=self.dtype, out_init=small, name="recall")
            return layer(x, memory, lengths=memory_lengths)

        def think(x: jax.Array) -> jax.Array:
            wide = nn.Dense(self.hidden or 4 * x.shape[-1], dtype=self.dtype, kernel_init=normal, name="up")(x)
            narrow = nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=small, name="down")
            return narrow(self.activation(wide))

        x = add(x, attention, "attention")
        if memory is not None:
            x = add(x, recall, "recall")
        return add(x, think, "mlp")


def masked_mean(x: jax.Array, lengths: Array | None) -> jax.Array:
    """Return [B, D], the mean of `x: [B, T, D]` over the positions that count."""
    if lengths is None:
        return x.mean(axis=1)
    seen = counts(lengths, x.shape[1])[..., None].astype(x.dtype)
    return (x * seen).sum(axis=1) / jnp.maximum(seen.sum(axis=1), 1)
