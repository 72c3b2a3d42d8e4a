"""Encoder-decoder models for sequence to sequence tasks.

Both are trained with teacher forcing: the decoder's inputs are the target tokens shifted right by one.

Shape legend: B batch, S source positions, T target positions, V vocabulary, D width.
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.attention import Attention
from fdl.models.layers import Dropout, Dtype, stack
from fdl.models.rnn import Cell, Recurrence
from fdl.models.transformer import Block, normal

Kind = Literal["transformer", "gru"]


def encoder_decoder(
    kind: Kind,
    vocabulary: int,
    source_vocabulary: int | None,
    *,
    width: int,
    depth: int,
    context: int,
    dropout: float = 0.0,
) -> nn.Module:
    """Make the encoder-decoder of this kind; `context`, the maximum length, is used by the Transformer only."""
    if kind == "gru":
        return Seq2SeqRNN(vocabulary, source_vocabulary, width, depth, dropout=dropout)
    if kind == "transformer":
        return Seq2SeqTransformer(vocabulary, source_vocabulary, width, depth, context=context, dropout=dropout)
    raise UserError(f"an encoder-decoder of kind {kind!r} is unknown; choose transformer or gru")


class Seq2SeqRNN(nn.Module):
    """A bidirectional recurrent encoder and a recurrent decoder with attention.

    Attention comes after the decoder's recurrence, so all positions are computed at once; its weights f32[B, 1, T, S]
    are sown as "attention" in "intermediates". Papers: Sutskever et al., 2014; Luong et al., 2015.

    vocabulary: of the target; source_vocabulary: of the source, None if the source is features.
    """

    vocabulary: int
    source_vocabulary: int | None = None
    width: int = 128
    depth: int = 1
    cell: Cell = "gru"
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, sources: Array, decoder_inputs: Array, source_lengths: Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return logits f32[B, T, V] of the token after each position of `decoder_inputs`.

        sources: i32[B, S] tokens or f32[B, S, ...] features; source_lengths: i32[B], valid positions, all if None.
        decoder_inputs: i32[B, T], the start token and the target without its last token.
        """
        dense = functools.partial(nn.Dense, self.width, dtype=self.dtype)
        layer = functools.partial(Recurrence, self.width, self.cell, dtype=self.dtype)
        if self.source_vocabulary is None:
            x = jnp.reshape(sources, (*sources.shape[:2], -1))
        else:
            x = nn.Embed(self.source_vocabulary, self.width, dtype=self.dtype, name="source_embed")(sources)
        starts = []  # the decoder's initial states, from the encoder's last ones
        for i in stack(self.depth):
            x = Dropout(self.dropout)(x, train=train)
            forward_last, forward_states = layer(name=f"read_{i}")(x, source_lengths)
            backward_last, backward_states = layer(reverse=True, name=f"read_back_{i}")(x, source_lengths)
            x = dense(name=f"read_both_{i}")(jnp.concatenate([forward_states, backward_states], axis=-1))
            starts.append(dense(name=f"hand_over_{i}")(jnp.concatenate([forward_last, backward_last], axis=-1)))
        y = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, name="embed")(decoder_inputs)
        for i, start in enumerate(starts):
            y = Dropout(self.dropout)(y, train=train)
            _, y = layer(name=f"write_{i}")(y, start=jnp.tanh(start))
        attended = Attention(1, dtype=self.dtype, kernel_init=_fan_in, out_init=_fan_in)(y, x, lengths=source_lengths)
        y = jnp.tanh(dense(name="combine")(jnp.concatenate([y, attended], axis=-1)))
        return nn.Dense(self.vocabulary, name="head")(Dropout(self.dropout)(y, train=train))


class Seq2SeqTransformer(nn.Module):
    """A Transformer encoder and a causal decoder with cross-attention.

    Paper: Vaswani et al., 2017, but pre-norm. The attention weights of each layer are sown as in `Attention`.

    vocabulary: of the target; source_vocabulary: of the source, None if the source is features.
    context:    the maximum length of sources and targets.
    """

    vocabulary: int
    source_vocabulary: int | None = None
    width: int = 128
    depth: int = 2
    heads: int = 4
    context: int = 256
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, sources: Array, decoder_inputs: Array, source_lengths: Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return logits f32[B, T, V] of the token after each of `decoder_inputs`; the arguments are `Seq2SeqRNN`'s."""
        longest = max(sources.shape[1], decoder_inputs.shape[1])
        if longest > self.context:
            raise UserError(f"{longest} positions do not fit context {self.context}; set context={longest}")
        embed = functools.partial(nn.Embed, features=self.width, dtype=self.dtype, embedding_init=normal)
        block = functools.partial(Block, self.heads, depth=self.depth, dropout=self.dropout, dtype=self.dtype)
        norm = functools.partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        if self.source_vocabulary is None:
            flat = jnp.reshape(sources, (*sources.shape[:2], -1))
            x = nn.Dense(self.width, dtype=self.dtype, name="source_embed")(flat)
        else:
            x = embed(self.source_vocabulary, name="source_embed")(sources)
        x = x + embed(self.context, name="source_positions")(jnp.arange(sources.shape[1])[None])
        x = Dropout(self.dropout)(x, train=train)
        for i in stack(self.depth):
            x = block(name=f"read_{i}")(x, lengths=source_lengths, train=train)
        x = norm(name="source_norm")(x)
        y = embed(self.vocabulary, name="embed")(decoder_inputs)
        y = y + embed(self.context, name="positions")(jnp.arange(decoder_inputs.shape[1])[None])
        y = Dropout(self.dropout)(y, train=train)
        for i in stack(self.depth):
            y = block(causal=True, name=f"write_{i}")(y, x, memory_lengths=source_lengths, train=train)
        return nn.Dense(self.vocabulary, kernel_init=normal, name="head")(norm(name="norm")(y))


_fan_in = nn.initializers.lecun_normal()
