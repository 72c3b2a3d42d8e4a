"""Token cross-entropy fused with the output projection, a slice of positions at a time.

A language model's logits, f32[B, T, V], are its largest array by far; computed at once they are stored, and read again
for the maximum, the sum, the argmax and the gradient. Here the logits of one slice of positions are computed, summed,
differentiated and discarded before the next; only the gradients of the hidden states and the table are kept.

Shape legend: B batch, T time, D width, V vocabulary.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from fdl.core import data_axis
from fdl.core.integers import ceil_div
from fdl.core.types import Array, TokenLogits

SLICE_BYTES = 2**29  # of the logits of one slice, per device
LANES = 128  # the vocabulary is padded to whole tiles once; compilers pad each of its arrays by itself
Sums = tuple[jax.Array, jax.Array]
Slice = tuple[jax.Array, jax.Array, jax.Array]


def token_cross_entropy(logits: TokenLogits, targets: Array, weights: Array) -> Sums:
    """Return the weighted sum of the cross-entropy in nats, f32[], and which predictions are correct, bool[B, T].

    targets: i32[B, T]; weights: f32[B, T]. A prediction is the argmax of the logits. Only the factors of the logits
    receive gradients.
    """
    hidden, table, bias = logits
    bias = jnp.zeros(len(table), jnp.float32) if bias is None else bias
    return _sums(hidden, table, bias, jnp.asarray(targets, jnp.int32), jnp.asarray(weights, jnp.float32))


def slices(batch: int, time: int, vocabulary: int) -> int:
    """Return the number of slices of the T positions for which the logits of one fit `SLICE_BYTES`."""
    return max(1, min(time, ceil_div(4 * batch * time * vocabulary, SLICE_BYTES)))


@jax.custom_vjp
def _sums(hidden: jax.Array, table: jax.Array, bias: jax.Array, targets: jax.Array, weights: jax.Array) -> Sums:
    return _on_each_device(hidden, table, bias, targets, weights, differentiate=False)[0]


def _forward(
    hidden: jax.Array, table: jax.Array, bias: jax.Array, targets: jax.Array, weights: jax.Array
) -> tuple[Sums, tuple[jax.Array, ...]]:
    sums, (dhidden, dtable, dbias) = _on_each_device(hidden, table, bias, targets, weights, differentiate=True)
    return sums, (dhidden, dtable.astype(table.dtype), dbias.astype(bias.dtype))


def _backward(gradients: tuple[jax.Array, ...], cotangents: Sums) -> tuple[Any, ...]:
    # The loss is a scalar, so its cotangent only scales the gradients that the forward pass has computed.
    return (*((cotangents[0] * g).astype(g.dtype) for g in gradients), None, None)


_sums.defvjp(_forward, _backward)


def _on_each_device(
    hidden: jax.Array, table: jax.Array, bias: jax.Array, targets: jax.Array, weights: jax.Array, *, differentiate: bool
) -> tuple[Sums, tuple[jax.Array, ...]]:
    """Return `_slice_sums`, computed per device on local rows; totals and the table's gradient are summed once."""
    grid, table = data_axis.grid(), table.astype(hidden.dtype)
    if grid is None or len(hidden) % grid.num_shards:
        return _slice_sums(hidden, table, bias, targets, weights, differentiate=differentiate)

    def share(*arrays: jax.Array) -> tuple[Sums, tuple[jax.Array, ...]]:
        (loss, correct), gradients = _slice_sums(*arrays, differentiate=differentiate)
        return (lax.psum(loss, grid.rows), correct), (*gradients[:1], *lax.psum(gradients[1:], grid.rows))

    rows, whole = P(grid.rows), P()
    return jax.shard_map(
        share,
        mesh=grid.mesh,
        in_specs=(rows, whole, whole, rows, rows),
        out_specs=((whole, rows), (rows, whole, whole) if differentiate else ()),
        check_vma=False,
    )(hidden, table, bias, targets, weights)


def _slice_sums(
    hidden: jax.Array, table: jax.Array, bias: jax.Array, targets: jax.Array, weights: jax.Array, *, differentiate: bool
) -> tuple[Sums, tuple[jax.Array, ...]]:
    """Return the sums and, if `differentiate`, the loss gradients of hidden, table and bias, the latter in float32."""
    (batch, time), vocabulary = hidden.shape[:2], len(table)
    missing = -vocabulary % LANES
    table, bias = jnp.pad(table, ((0, missing), (0, 0))), jnp.pad(bias, (0, missing), constant_values=-jnp.inf)
    count = slices(batch, time, len(table))

    def cut(x: jax.Array) -> jax.Array:  # [B, T, ...] to [slices, B, T / slices, ...], padded with weight 0
        x = jnp.pad(x, [(0, 0), (0, -time % count), *[(0, 0)] * (x.ndim - 2)])
        return x.reshape(batch, count, -1, *x.shape[2:]).swapaxes(0, 1)

    def joined(x: jax.Array) -> jax.Array:
        return x.swapaxes(0, 1).reshape(batch, -1, *x.shape[3:])[:, :time]

    def one(sums: tuple[jax.Array, ...], part: Slice) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        (x, label, weight), (total, *gradients) = part, sums
        loss, correct, dlogits = _differentiated(x, table, bias, label, weight)
        total = total + jnp.sum(jnp.where(weight == 0, 0.0, loss) * weight)
        if not differentiate:
            return (total,), (correct,)
        dtable, dbias = gradients
        dlogits_cast = dlogits.astype(x.dtype)
        dx = jnp.einsum("btv,vd->btd", dlogits_cast, table, preferred_element_type=jnp.float32).astype(x.dtype)
        dtable = dtable + jnp.einsum("btv,btd->vd", dlogits_cast, x, preferred_element_type=jnp.float32)
        return (total, dtable, dbias + dlogits.sum((0, 1))), (correct, dx)

    begin = [jnp.zeros(())]
    if differentiate:
        begin += [jnp.zeros(table.shape, jnp.float32), jnp.zeros(bias.shape, jnp.float32)]
    (total, *of_all), (correct, *dhidden) = lax.scan(one, tuple(begin), (cut(hidden), cut(targets), cut(weights)))
    return (total, joined(correct)), (*map(joined, dhidden), *(gradient[:vocabulary] for gradient in of_all))


def _differentiated(
    x: jax.Array, table: jax.Array, bias: jax.Array, label: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the losses f32[B, T], whether predictions are correct, and the weighted loss's gradient f32[B, T, V]."""
    logits = jnp.einsum("btd,vd->btv", x, table, preferred_element_type=jnp.float32) + bias[None, None]
    top = logits.max(-1, keepdims=True)
    exponentials = jnp.exp(logits - top)
    total = exponentials.sum(-1, keepdims=True)
    # A comparison, not an indexed lookup, whose gradient would scatter into an array of the logits' size.
    hot = jnp.arange(len(table))[None, None] == label[..., None]
    loss = (jnp.log(total) + top)[..., 0] - jnp.where(hot, logits, 0.0).sum(-1)
    dlogits = jnp.where((weight == 0)[..., None], 0.0, (exponentials / total - hot) * weight[..., None])
    return loss, jnp.argmax(logits, -1) == label, dlogits
