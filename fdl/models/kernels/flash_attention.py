"""Attention whose weights never reach memory: the fused kernels of the TPU and of NVIDIA's cuDNN, and where they fit.

The reference form writes its scores and weights, f32[B, H, T, S], and reads them again in the backward pass: half of
the memory traffic of GPT-2. These kernels make them a tile at a time (Dao et al., 2022).

Shape legend: B batch, T query positions, S key positions, H heads, K head width.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from fdl.core import data_axis, kernel_choice
from fdl.core.types import Array

Form = Literal["reference", "cudnn", "splash"]
LANES = 128  # of a TPU's vector registers: the splash kernel takes whole ones
BLOCKS = (512, 384, 256, LANES)  # positions of a tile, the largest that divides
WIDEST = 128  # head that cuDNN takes on every GPU that it has a fused kernel for
FEWEST = 64 * 80  # scores a head, below which the reference form was as fast on an H200
AMPERE = 8.0


def choose(query: jax.Array, key: jax.Array, *, decoding: bool) -> tuple[Form, str]:
    """Return the form that attention takes on what is compiled for, and why.

    query: [B, T, H, K]; key: [B, S, H, K]. decoding: the keys are a cache whose end is not written yet.
    """
    (time, _, width), keys, target = query.shape[1:], key.shape[1], kernel_choice.target()
    if target.platform not in ("gpu", "tpu"):
        return "reference", f"no fused kernel for a {target.platform}"
    if not kernel_choice.custom("attention"):
        return "reference", "as asked for"
    if decoding:
        return "reference", "written token by token"
    if target.platform == "tpu":
        if min(time, keys) < LANES:
            return "reference", f"{time} x {keys} positions, and the TPU's kernel takes {LANES} or more"
        return "splash", "the TPU's fused kernel"
    if target.capability < AMPERE:
        return "reference", f"cuDNN's fused kernel takes compute capability 8.0 or more, not {target.capability}"
    if query.dtype not in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)):
        return "reference", f"cuDNN's fused kernel takes 16 bits, not {query.dtype.name}; --precision=bfloat16 has them"
    if width % 8 or width > WIDEST:
        return "reference", f"cuDNN's fused kernel takes head widths up to {WIDEST} that 8 divides, not {width}"
    if time * keys < FEWEST:
        return "reference", f"{time} x {keys} positions are too few to gain by cuDNN's fused kernel"
    return "cudnn", "cuDNN's fused kernel"


def cudnn(query: jax.Array, key: jax.Array, value: jax.Array, *, causal: bool, lengths: Array | None) -> jax.Array:
    """Return attention [B, T, H, K] by cuDNN; the arguments are those of `fdl.models.attention.attend`."""
    batch, time, keys = query.shape[0], query.shape[1], key.shape[1]
    if time % 2 or keys % 2:  # its backward pass takes even numbers of positions
        lengths = jnp.full(batch, keys, jnp.int32) if lengths is None else lengths
        query, key, value = (_padded(x, 2) for x in (query, key, value))

    def kernel(q: jax.Array, k: jax.Array, v: jax.Array, *present: jax.Array) -> jax.Array:
        return jax.nn.dot_product_attention(
            q,
            k,
            v,
            is_causal=causal,
            query_seq_lengths=jnp.full(q.shape[0], q.shape[1], jnp.int32) if present else None,
            key_value_seq_lengths=present[0] if present else None,
            implementation="cudnn",
        )

    present = () if lengths is None else (jnp.asarray(lengths, jnp.int32),)
    return data_axis.map_shards(kernel, query, key, value, *present, heads=2)[:, :time]


def splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    causal: bool,
    lengths: Array | None,
    interpret: bool = False,
) -> jax.Array:
    """Return attention [B, T, H, K] by the TPU's splash kernel; the arguments are those of `attend`.

    interpret: run the kernel's program one operation after another, as any platform can.
    """
    batch, time, keys = query.shape[0], query.shape[1], key.shape[1]
    if keys % LANES and lengths is None and not (causal and time == keys):  # where causal, nobody sees what fills up
        lengths = jnp.full(batch, keys, jnp.int32)
    scaled = (query * query.shape[-1] ** -0.5).astype(value.dtype)
    q, k, v = (_padded(x, LANES).swapaxes(1, 2) for x in (scaled, key, value))
    kernel = functools.partial(_splash, causal=causal, interpret=interpret)
    present = () if lengths is None else (jnp.asarray(lengths, jnp.int32),)
    return data_axis.map_shards(kernel, q, k, v, *present, heads=1).swapaxes(1, 2)[:, :time]


def _splash(
    q: jax.Array, k: jax.Array, v: jax.Array, lengths: jax.Array | None = None, *, causal: bool, interpret: bool
) -> jax.Array:
    """Return [B, H, T, K] of `q: [B, H, T, K]`, already divided by √K, and `k, v: [B, H, S, K]`."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    heads, time, keys = q.shape[1], q.shape[2], k.shape[2]
    mask = masks.CausalMask((time, keys)) if causal else masks.FullMask((time, keys))
    of_q, of_k = (next(block for block in BLOCKS if size % block == 0) for size in (time, keys))
    blocks = kernels.BlockSizes(
        block_q=of_q,
        block_kv=of_k,
        block_kv_compute=of_k,
        block_q_dkv=of_q,
        block_kv_dkv=of_k,
        block_kv_dkv_compute=of_k,
        block_q_dq=of_q,
        block_kv_dq=of_k,
    )
    kernel = kernels.make_splash_mha(
        masks.MultiHeadMask([mask] * heads), head_shards=1, q_seq_shards=1, block_sizes=blocks, interpret=interpret
    )
    if lengths is None:
        return jax.vmap(kernel)(q, k, v)

    def one(q: jax.Array, k: jax.Array, v: jax.Array, length: jax.Array) -> jax.Array:
        present = (jnp.arange(keys) < length).astype(jnp.int32)
        return kernel(q, k, v, segment_ids=kernels.SegmentIds(q=jnp.ones(time, jnp.int32), kv=present))

    return jax.vmap(one)(q, k, v, lengths)


def _padded(x: jax.Array, multiple: int) -> jax.Array:
    """Return `x: [B, T, ...]` with zeros after its T positions, up to a multiple of positions."""
    missing = -x.shape[1] % multiple
    return jnp.pad(x, [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)]) if missing else x
