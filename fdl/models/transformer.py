"""The Transformer: attention and a two-layer net per position, block upon block.

Shape legend: B batch, T positions, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.models.attention import Attention
from fdl.models.layers import Activation, Dropout, Dtype, counts
from fdl.types import Array


class Transformer(nn.Module):
    """Read a sequence with a stack of blocks and answer at every position, or once for all.

    outputs:    how many numbers an answer has; None gives the last block's [D].
    vocabulary: the inputs are tokens below it, each to be embedded; None means that they are features.
    context:    the longest sequence, which is how many learned positions there are.
    causal:     a decoder, where no position sees a later one; else an encoder.
    every_step: answer at every position; else once, from the mean over the positions that `lengths` lets be seen.
    """

    outputs: int | None
    vocabulary: int | None = None
    width: int = 128
    depth: int = 2
    heads: int = 4
    context: int = 256
    causal: bool = False
    every_step: bool = False
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, lengths: Array | None = None, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs], or f32[B, T, outputs] if `every_step`.

        inputs:  i32[B, T] tokens or f32[B, T, ...] features, whose further dimensions are laid side by side.
        lengths: i32[B], positions that count in each row; None means all.
        """
        time = inputs.shape[1]
        if time > self.context:
            raise ValueError(f"{time} positions do not fit context {self.context}; set context={time}")
        if self.vocabulary is None:
            x = nn.Dense(self.width, dtype=self.dtype, name="embed")(jnp.reshape(inputs, (*inputs.shape[:2], -1)))
        else:
            x = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, embedding_init=_normal, name="embed")(inputs)
        positions = self.param("positions", _normal, (self.context, self.width))
        x = Dropout(self.dropout)(x + positions[None, :time].astype(x.dtype), train=train)
        for _ in range(self.depth):
            block = Block(self.heads, causal=self.causal, depth=self.depth, dropout=self.dropout, dtype=self.dtype)
            x = block(x, lengths, train=train)
        x = nn.LayerNorm(dtype=self.dtype)(x)
        x = x if self.every_step else _mean(x, lengths)
        return x if self.outputs is None else nn.Dense(self.outputs, kernel_init=_normal)(x)


class Block(nn.Module):
    """Add what attention finds, then what a two-layer net makes of it, each normalised first (pre-norm).

    depth: blocks in the whole stack; what each adds starts smaller the more there are (Radford et al., 2019).
    """

    heads: int
    causal: bool = False
    hidden: int | None = None
    depth: int = 1
    activation: Activation = nn.gelu
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, lengths: Array | None = None, *, train: bool = False) -> jax.Array:
        """Return [B, T, D] from `x: [B, T, D]`; `lengths: i32[B]` says how many positions count."""
        width = x.shape[-1]
        small = nn.initializers.normal(0.02 / (2 * self.depth) ** 0.5)
        attention = Attention(self.heads, causal=self.causal, dtype=self.dtype, out_init=small)
        found = attention(nn.LayerNorm(dtype=self.dtype)(x), lengths=lengths)
        x = x + Dropout(self.dropout)(found, train=train)
        made = nn.LayerNorm(dtype=self.dtype)(x)
        made = nn.Dense(self.hidden or 4 * width, dtype=self.dtype, kernel_init=_normal, name="up")(made)
        made = nn.Dense(width, dtype=self.dtype, kernel_init=small, name="down")(self.activation(made))
        return x + Dropout(self.dropout)(made, train=train)


_normal = nn.initializers.normal(0.02)


def _mean(x: jax.Array, lengths: Array | None) -> jax.Array:
    """Return [B, D], the mean of `x: [B, T, D]` over the positions that count."""
    if lengths is None:
        return x.mean(axis=1)
    seen = counts(lengths, x.shape[1])[..., None].astype(x.dtype)
    return (x * seen).sum(axis=1) / jnp.maximum(seen.sum(axis=1), 1)
