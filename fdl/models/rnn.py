"""Recurrent networks with vanilla, GRU or LSTM cells.

Shape legend: B batch, T time, C features, D width, G gates of a cell (4 for an LSTM).
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import data_axis, kernel_choice
from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.kernels import embedding, lstm
from fdl.models.layers import Dropout, Dtype, length_mask, stack

Cell = Literal["lstm", "gru", "rnn"]
Carry = tuple[jax.Array, ...]
Update = Callable[[jax.Array, jax.Array, Carry], Carry]


class RNN(nn.Module):
    """A stack of recurrent layers with a linear head on the last state or on every state.

    outputs:       output size; None returns the hidden state itself, [D] or [2D] if bidirectional.
    vocabulary:    vocabulary size of token inputs, which are embedded; None means that inputs are features.
    embedding:     embedding size of a token; None means `width`.
    return_sequences: outputs at every step, else only at the last valid step.
    bidirectional: run a second, reversed layer and concatenate; such a net is not causal.
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

        inputs:  i32[B, T] tokens or f32[B, T, ...] features, flattened to [B, T, C].
        lengths: i32[B], valid steps of each row; None means all. Later steps leave the state unchanged.
        decode:  continue from the state in the collection "cache", and update it.
        """
        tokens = None
        if self.vocabulary is None:
            x = jnp.reshape(inputs, (*inputs.shape[:2], -1))
        else:
            embed = nn.Embed(self.vocabulary, self.embedding or self.width, dtype=self.dtype)
            # A small vocabulary: project the table once per row, not once per token (`embedding.use_matmul`).
            if embedding.use_matmul(self.vocabulary, inputs.size) and not self.dropout:
                x, tokens = embed.embedding, inputs
            else:
                x = embed(inputs)
        for _ in stack(self.depth):
            x = Dropout(self.dropout)(x, train=train)
            directions = [False, True] if self.bidirectional else [False]
            ends, steps = zip(
                *(
                    Recurrence(self.width, self.cell, reverse=reverse, dtype=self.dtype)(
                        x, lengths, tokens=tokens, decode=decode
                    )
                    for reverse in directions
                ),
                strict=True,
            )
            tokens = None
            x = jnp.concatenate(steps, axis=-1)
        x = x if self.return_sequences else jnp.concatenate(ends, axis=-1)
        x = Dropout(self.dropout)(x, train=train)
        return x if self.outputs is None else nn.Dense(self.outputs)(x)


class Recurrence(nn.Module):
    """One recurrent layer: the input projection of all steps as one matrix product, then a scan over time.

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

        tokens: i32[B, T]; then `x: f32[V, C]` is their embedding table, and the input projection is computed once per
                row of the table.
        start:  f32[B, D], the initial hidden state; None is zeros.
        decode: start from the carry in the collection "cache" instead, and store the last carry there.
        """
        if self.cell not in CELLS:
            raise UserError(f"cell {self.cell!r} is unknown; choose {', '.join(CELLS)}")
        gates, num_carries, update = CELLS[self.cell]
        batch, time = x.shape[:2] if tokens is None else tokens.shape
        bias_init = _forget_bias if self.cell == "lstm" else _zeros
        input_projection = nn.Dense(gates * self.width, dtype=self.dtype, bias_init=bias_init)(
            _time_major(x) if tokens is None else x
        )
        input_projection = (
            input_projection if tokens is None else embedding.rows(input_projection, _time_major(jnp.asarray(tokens)))
        )
        kernel = self.param("recurrent", _orthogonal_gates, (self.width, gates * self.width))
        bias = self.param("recurrent_bias", _zeros, (gates * self.width,)) if self.cell == "gru" else None
        input_projection, kernel, bias = (
            data_axis.split_rows(input_projection, at=1),
            data_axis.replicate(kernel),
            data_axis.replicate(bias),
        )
        input_projection, kernel, bias = nn.dtypes.promote_dtype(input_projection, kernel, bias, dtype=self.dtype)
        zeros = jnp.zeros((batch, self.width), input_projection.dtype)
        initial: Carry = (
            zeros if start is None else start.astype(input_projection.dtype),
            *[zeros] * (num_carries - 1),
        )
        cache = self.variable("cache", "carry", lambda: initial) if decode else None
        mask = None if lengths is None else _time_major(length_mask(lengths, time))
        carry, states = scan_cell(
            update, input_projection, kernel, bias, cache.value if cache else initial, mask, reverse=self.reverse
        )
        if cache and not self.is_initializing():
            cache.value = carry
        return carry[0], _time_major(states)


def _time_major(x: jax.Array) -> jax.Array:
    """Swap the batch and time dimensions: [B, T, ...] to [T, B, ...] and back."""
    return x.swapaxes(0, 1)


def scan_cell(
    update: Update,
    input_projection: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    start: Carry,
    mask: jax.Array | None,
    *,
    reverse: bool = False,
) -> tuple[Carry, jax.Array]:
    """Return the last carry and every state [T, B, D]: a scan of the cell over time.

    input_projection: [T, B, G·D]; kernel: [D, G·D] and bias: [G·D], the recurrent projection.
    mask: bool[T, B], the steps that update the carry. In reverse, the padding at the end comes first and is skipped.
    """

    def step(carry: Carry, xs: tuple[jax.Array, jax.Array | None]) -> tuple[Carry, jax.Array]:
        projected, valid = xs
        recurrent = carry[0] @ kernel
        new = update(projected, recurrent if bias is None else recurrent + bias[None], carry)
        if valid is not None:
            new = tuple(jnp.where(valid[:, None], after, before) for after, before in zip(new, carry, strict=True))
        return new, new[0]

    if update is _lstm and kernel_choice.custom("lstm"):
        return lstm.scan_lstm(input_projection, kernel, (start[0], start[1]), mask, reverse)
    return lax.scan(step, start, (input_projection, mask), reverse=reverse)


def _rnn(input_projection: jax.Array, recurrent: jax.Array, carry: Carry) -> Carry:
    return (jnp.tanh(input_projection + recurrent),)


def _gru(input_projection: jax.Array, recurrent: jax.Array, carry: Carry) -> Carry:
    (hidden,) = carry
    xr, xz, xn = jnp.split(input_projection, 3, axis=-1)
    hr, hz, hn = jnp.split(recurrent, 3, axis=-1)
    r, z = nn.sigmoid(xr + hr), nn.sigmoid(xz + hz)
    return ((1 - z) * jnp.tanh(xn + r * hn) + z * hidden,)


def _lstm(input_projection: jax.Array, recurrent: jax.Array, carry: Carry) -> Carry:
    _, cell = carry
    i, f, g, o = jnp.split(input_projection + recurrent, 4, axis=-1)
    cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(cell), cell


# cell -> number of gates, number of arrays in the carry (the hidden state first), update.
# Gates are in the order of PyTorch: i f g o, r z n.
CELLS: dict[str, tuple[int, int, Update]] = {"lstm": (4, 2, _lstm), "gru": (3, 1, _gru), "rnn": (1, 1, _rnn)}

_zeros = nn.initializers.zeros


def _forget_bias(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Initialise an LSTM's forget-gate bias to 1, so that the cell state persists initially (Gers et al., 2000)."""
    return jnp.repeat(jnp.array([0, 1, 0, 0], dtype), shape[0] // 4)


def _orthogonal_gates(key: Array, shape: tuple[int, int], dtype: Dtype = jnp.float32) -> jax.Array:
    """Initialise each gate's recurrent kernel orthogonally: it preserves the state's norm (Saxe et al., 2014)."""
    width, gates = shape[0], shape[1] // shape[0]
    rotate = nn.initializers.orthogonal()
    return jnp.concatenate([rotate(k, (width, width), dtype) for k in jax.random.split(key, gates)], axis=1)
