"""Flash attention: the fused kernels of the TPU (splash) and of NVIDIA's cuDNN, and when they apply.

The reference form stores its scores and weights, f32[B, H, T, S], and reads them again in the backward pass: half of
the memory traffic of GPT-2. Fused kernels compute them tile by tile and store none (Dao et al., 2022).

Shape legend: B batch, T query positions, S key positions, H heads, K head width.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from fdl.core import data_axis, kernel_choice
from fdl.core.types import Array

Form = Literal["reference", "cudnn", "splash"]
LANES = 128  # of a TPU vector register: the splash kernel needs multiples of it
BLOCKS = (512, 384, 256, LANES)  # positions of a tile; the largest divisor is used
MAX_HEAD_WIDTH = 128  # supported by cuDNN's fused kernels on every GPU that has them
MIN_SCORES = 64 * 80  # per head; below it the reference form was as fast on an H200
AMPERE = 8.0  # compute capability


def choose(query: jax.Array, key: jax.Array, *, decoding: bool) -> tuple[Form, str]:
    """Return the form of attention for the current target, and the reason.

    query: [B, T, H, K]; key: [B, S, H, K]. decoding: the keys are a cache that is only partly filled.
    """
    (time, _, width), keys, target = query.shape[1:], key.shape[1], kernel_choice.target()
    if target.platform not in ("gpu", "tpu"):
        return "reference", f"no fused kernel for a {target.platform}"
    if not kernel_choice.custom("attention"):
        return "reference", "as requested by --kernels"
    if decoding:
        return "reference", "decoding token by token"
    if target.platform == "tpu":
        if min(time, keys) < LANES:
            return "reference", f"{time} x {keys} positions, and the TPU's kernel needs {LANES} or more"
        return "splash", "the TPU's fused kernel"
    if target.capability < AMPERE:
        return "reference", f"cuDNN's fused kernel needs compute capability 8.0 or more, not {target.capability}"
    if query.dtype not in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16)):
        return "reference", f"cuDNN's fused kernel needs 16 bits, not {query.dtype.name}; try --precision=bfloat16"
    if width % 8 or width > MAX_HEAD_WIDTH:
        return "reference", f"cuDNN's fused kernel needs head widths up to {MAX_HEAD_WIDTH} that 8 divides, not {width}"
    if time * keys < MIN_SCORES:
        return "reference", f"{time} x {keys} positions are too few to gain by cuDNN's fused kernel"
    return "cudnn", "cuDNN's fused kernel"


def cudnn(query: jax.Array, key: jax.Array, value: jax.Array, *, causal: bool, lengths: Array | None) -> jax.Array:
    """Return attention [B, T, H, K] by cuDNN; the arguments are those of `fdl.models.attention.attend`."""
    batch, time, keys = query.shape[0], query.shape[1], key.shape[1]
    if time % 2 or keys % 2:  # cuDNN's backward pass needs even numbers of positions
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
    result: jax.Array = data_axis.map_shards(kernel, query, key, value, *present, heads=2)[:, :time]
    return result


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

    interpret: run the kernel in Pallas's interpreter, on any platform.
    """
    batch, time, keys = query.shape[0], query.shape[1], key.shape[1]
    if keys % LANES and lengths is None and not (causal and time == keys):  # the causal mask hides the padding
        lengths = jnp.full(batch, keys, jnp.int32)
    scaled = (query * query.shape[-1] ** -0.5).astype(value.dtype)
    q, k, v = (_padded(x, LANES).swapaxes(1, 2) for x in (scaled, key, value))
    kernel = functools.partial(_splash, causal=causal, interpret=interpret)
    present = () if lengths is None else (jnp.asarray(lengths, jnp.int32),)
    result: jax.Array = data_axis.map_shards(kernel, q, k, v, *present, heads=1).swapaxes(1, 2)[:, :time]
    return result


def _splash(
    q: jax.Array, k: jax.Array, v: jax.Array, lengths: jax.Array | None = None, *, causal: bool, interpret: bool
) -> jax.Array:
    """Return [B, H, T, K] of `q: [B, H, T, K]`, already divided by √K, and `k, v: [B, H, S, K]`."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    heads, time, keys = q.shape[1], q.shape[2], k.shape[2]
    mask = masks.CausalMask((time, keys)) if causal else masks.FullMask((time, keys))
    block_q, block_k = (next(block for block in BLOCKS if size % block == 0) for size in (time, keys))
    blocks = kernels.BlockSizes(
        block_q=block_q,
        block_kv=block_k,
        block_kv_compute=block_k,
        block_q_dkv=block_q,
        block_kv_dkv=block_k,
        block_kv_dkv_compute=block_k,
        block_q_dq=block_q,
        block_kv_dq=block_k,
    )
    kernel = kernels.make_splash_mha(
        masks.MultiHeadMask([mask] * heads), head_shards=1, q_seq_shards=1, block_sizes=blocks, interpret=interpret
    )
    if lengths is None:
        result: jax.Array = jax.vmap(kernel)(q, k, v)
        return result

    def one(q: jax.Array, k: jax.Array, v: jax.Array, length: jax.Array) -> jax.Array:
        present = (jnp.arange(keys) < length).astype(jnp.int32)
        result: jax.Array = kernel(q, k, v, segment_ids=kernels.SegmentIds(q=jnp.ones(time, jnp.int32), kv=present))
        return result

    return jax.vmap(one)(q, k, v, lengths)


def _padded(x: jax.Array, multiple: int) -> jax.Array:
    """Zero-pad `x: [B, T, ...]` along T to a multiple of `multiple`."""
    missing = -x.shape[1] % multiple
    return jnp.pad(x, [(0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)]) if missing else x
