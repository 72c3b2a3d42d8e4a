"""Recurrent nets: one state that walks along time. The vanilla cell, the GRU and the LSTM are a choice.

Shape legend: B batch, T time, C features, D width, G numbers that a cell needs per unit of width (4 for an LSTM).
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import data_axis, kernel_choice
from fdl.core.types import Array
from fdl.models.kernels import embedding, lstm
from fdl.models.layers import Dropout, Dtype, counts, stack

Cell = Literal["lstm", "gru", "rnn"]
Carry = tuple[jax.Array, ...]
Update = Callable[[jax.Array, jax.Array, Carry], Carry]


class RNN(nn.Module):
    """Read a sequence step by step and answer at its end, or at every step.

    outputs:       how many numbers an answer has; None gives the hidden state itself, [D] or [2D] if bidirectional.
    vocabulary:    the inputs are tokens below it, each to be embedded; None means that they are features.
    embedding:     how wide a token's vector is; None means `width`.
    return_sequences:    answer at every step; else once, at the last step that `lengths` lets be seen.
    bidirectional: read backwards as well; such a net sees the future.
    """

    outputs: int | None
    vocabulary: int | None = None
    width: int = 128
    embedding: int | None = None
    depth: int = 1
    cell: Cell = "lstm"
    return_sequences: bool = False
    bidirectional: bool = False
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, inputs: Array, lengths: Array | None = None, *, decode: bool = False, train: bool = False
    ) -> jax.Array:
        """Return f32[B, outputs], or f32[B, T, outputs] if `return_sequences`.

        inputs:  i32[B, T] tokens or f32[B, T, ...] features, whose further dimensions are laid side by side.
        lengths: i32[B], steps that count in each row; None means all. Later steps leave the state as it is.
        decode:  go on from the state in the collection "cache", and leave the new one there.
        """
        tokens = None
        if self.vocabulary is None:
            x = jnp.reshape(inputs, (*inputs.shape[:2], -1))
        else:
            embed = nn.Embed(self.vocabulary, self.embedding or self.width, dtype=self.dtype)
            if embedding.folds(self.vocabulary, inputs.size) and not self.dropout:
                x, tokens = embed.embedding, inputs
            else:
                x = embed(inputs)
        for _ in stack(self.depth):
            x = Dropout(self.dropout)(x, train=train)
            ways = [False, True] if self.bidirectional else [False]
            ends, steps = zip(
                *(
                    Recurrence(self.width, self.cell, reverse=way, dtype=self.dtype)(
                        x, lengths, tokens=tokens, decode=decode
                    )
                    for way in ways
                ),
                strict=True,
            )
            tokens = None
            x = jnp.concatenate(steps, axis=-1)
        x = x if self.return_sequences else jnp.concatenate(ends, axis=-1)
        x = Dropout(self.dropout)(x, train=train)
        return x if self.outputs is None else nn.Dense(self.outputs)(x)


class Recurrence(nn.Module):
    """Walk one cell along time: one matrix product for the inputs of all steps, then a scan over the state.

    With x the input and h the state, σ the logistic function:
    rnn:  h' = tanh(Wx + Uh + b)
    gru:  r, z = σ(Wx + Uh + b);  n = tanh(Wₙx + bₙ + r·(Uₙh + cₙ));  h' = (1 - z)·n + z·h   (Cho et al., 2014)
    lstm: i, f, o = σ(Wx + Uh + b), g = tanh(same);  c' = f·c + i·g;  h' = o·tanh(c')   (Hochreiter, Schmidhuber, 1997)
    """

    width: int
    cell: Cell = "lstm"
    reverse: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        lengths: Array | None = None,
        *,
        tokens: Array | None = None,
        start: jax.Array | None = None,
        decode: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        """Return the last state f32[B, D] and every state f32[B, T, D] for `x: f32[B, T, C]`.

        tokens: i32[B, T]; then `x: f32[V, C]` is the table whose rows they are, and the product with the inputs'
                kernel is taken once for each row of the table.
        start:  f32[B, D], the state before the first step; None is zeros.
        decode: start from the collection "cache" instead, and leave the last carry there.
        """
        if self.cell not in CELLS:
            raise ValueError(f"cell {self.cell!r} is unknown; choose {', '.join(CELLS)}")
        gates, carried, update = CELLS[self.cell]
        batch, time = x.shape[:2] if tokens is None else tokens.shape
        bias_init = _remember if self.cell == "lstm" else _zeros
        drive = nn.Dense(gates * self.width, dtype=self.dtype, bias_init=bias_init)(_turn(x) if tokens is None else x)
        drive = drive if tokens is None else embedding.rows(drive, _turn(jnp.asarray(tokens)))
        kernel = self.param("recurrent", _orthogonal_gates, (self.width, gates * self.width))
        bias = self.param("recurrent_bias", _zeros, (gates * self.width,)) if self.cell == "gru" else None
        drive, kernel, bias = data_axis.split_rows(drive, at=1), data_axis.replicate(kernel), data_axis.replicate(bias)
        drive, kernel, bias = nn.dtypes.promote_dtype(drive, kernel, bias, dtype=self.dtype)
        zeros = jnp.zeros((batch, self.width), drive.dtype)
        begin: Carry = (zeros if start is None else start.astype(drive.dtype), *[zeros] * (carried - 1))
        kept = self.variable("cache", "carry", lambda: begin) if decode else None
        alive = None if lengths is None else _turn(counts(lengths, time))
        carry, states = walk(update, drive, kernel, bias, kept.value if kept else begin, alive, reverse=self.reverse)
        if kept and not self.is_initializing():
            kept.value = carry
        return carry[0], _turn(states)


def _turn(x: jax.Array) -> jax.Array:
    """Return [T, B, ...] for [B, T, ...], and back."""
    return x.swapaxes(0, 1)


def walk(
    update: Update,
    drive: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    start: Carry,
    alive: jax.Array | None,
    *,
    reverse: bool = False,
) -> tuple[Carry, jax.Array]:
    """Return the last carry and every state [T, B, D]: the one place where any model loops over time.

    drive:  [T, B, G·D], what the inputs say to each step; kernel: [D, G·D] and bias: [G·D], what the state says.
    alive:  bool[T, B], the steps that may change the carry. In reverse, padding at the end is met first, and skipped.
    """

    def step(carry: Carry, now: tuple[jax.Array, jax.Array | None]) -> tuple[Carry, jax.Array]:
        driven, living = now
        said = carry[0] @ kernel
        new = update(driven, said if bias is None else said + bias[None], carry)
        if living is not None:
            new = tuple(jnp.where(living[:, None], after, before) for after, before in zip(new, carry, strict=True))
        return new, new[0]

    if update is _lstm and kernel_choice.custom("lstm"):
        return lstm.walk(drive, kernel, (start[0], start[1]), alive, reverse)
    return lax.scan(step, start, (drive, alive), reverse=reverse)


def _rnn(drive: jax.Array, said: jax.Array, carry: Carry) -> Carry:
    return (jnp.tanh(drive + said),)


def _gru(drive: jax.Array, said: jax.Array, carry: Carry) -> Carry:
    (hidden,) = carry
    dr, dz, dn = jnp.split(drive, 3, axis=-1)
    sr, sz, sn = jnp.split(said, 3, axis=-1)
    reset, keep = nn.sigmoid(dr + sr), nn.sigmoid(dz + sz)
    return ((1 - keep) * jnp.tanh(dn + reset * sn) + keep * hidden,)


def _lstm(drive: jax.Array, said: jax.Array, carry: Carry) -> Carry:
    _, memory = carry
    write, forget, new, read = jnp.split(drive + said, 4, axis=-1)
    memory = nn.sigmoid(forget) * memory + nn.sigmoid(write) * jnp.tanh(new)
    return nn.sigmoid(read) * jnp.tanh(memory), memory


# cell -> numbers per unit of width, arrays in the carry (the state first), update.
# Gates lie in the order of PyTorch: i f g o, r z n.
CELLS: dict[str, tuple[int, int, Update]] = {"lstm": (4, 2, _lstm), "gru": (3, 1, _gru), "rnn": (1, 1, _rnn)}

_zeros = nn.initializers.zeros


def _remember(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Open an LSTM's forget gates, so that its memory lasts before anything is learnt (Gers et al., 2000)."""
    return jnp.repeat(jnp.array([0, 1, 0, 0], dtype), shape[0] // 4)


def _orthogonal_gates(key: Array, shape: tuple[int, int], dtype: Dtype = jnp.float32) -> jax.Array:
    """Start every gate from a rotation, which neither shrinks nor grows the state (Saxe et al., 2014)."""
    width, gates = shape[0], shape[1] // shape[0]
    rotate = nn.initializers.orthogonal()
    return jnp.concatenate([rotate(k, (width, width), dtype) for k in jax.random.split(key, gates)], axis=1)
