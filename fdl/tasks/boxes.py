"""Boxes: left, top, right, bottom. How far two agree, and which of many to keep.

Shape legend: M and N boxes, P places, K classes.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.types import Array


def area(boxes: Array) -> jax.Array:
    """Return f32[...], the area of each of `boxes: f32[..., 4]`; 0 where a side is not positive."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(a: Array, b: Array) -> jax.Array:
    """Return f32[...], intersection over union of `a` and `b`, f32[..., 4] each or what broadcasts to it."""
    both = _intersection(a, b)
    return both / jnp.maximum(area(a) + area(b) - both, _TINY)


def giou(a: Array, b: Array) -> jax.Array:
    """Return f32[...], overlap less the share of the smallest box around both that neither fills: from -1 to 1.

    Boxes that do not touch still pull at each other. Paper: GIoU (Rezatofighi et al., 2019).
    """
    union = area(a) + area(b) - _intersection(a, b)
    least, greatest = jnp.minimum(a, b), jnp.maximum(a, b)
    around = jnp.maximum(area(jnp.concatenate([least[..., :2], greatest[..., 2:]], -1)), _TINY)
    return iou(a, b) - (around - union) / around


def suppress(boxes: Array, logits: Array, most: int, *, above: float = 0.5) -> tuple[jax.Array, jax.Array]:
    """Return i32[M] and f32[M]: which candidates non-maximum suppression keeps, the best first, and their logits.

    boxes: f32[P, 4], of each place; logits: f32[P, K]: a candidate is a place and a class, numbered place * K + class.
    All of them compete, so that the best M = `most` are kept and not what is left of some best: each round takes the
    best that is left and drops those of its class that overlap it by more than `above`. Where none is left the logit is
    -inf; a logit that is not a number is none.
    """
    boxes, classes = jnp.asarray(boxes), logits.shape[-1]

    def take(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = jnp.argmax(left)
        place, kind = best // classes, best % classes
        rivals = (iou(boxes[place][None], boxes) > above).at[place].set(True)
        drop = rivals[:, None] & (jnp.arange(classes) == kind)[None]
        return jnp.where(drop, -jnp.inf, left), (best.astype(jnp.int32), left.reshape(-1)[best])

    _, (chosen, best) = lax.scan(take, jnp.where(jnp.isnan(logits), -jnp.inf, logits), length=most)
    return chosen, best


def greedy_match(likeness: Array, least: Array) -> jax.Array:
    """Return bool[M]: whether each of M boxes, the best first, finds a thing of its own that it agrees with.

    likeness: f32[M, N], the overlap of each box with each thing, negative where they cannot be the same. A box takes
    the likest thing that no better box took, if they overlap by `least: f32[]`.
    """

    def take(free: jax.Array, like: jax.Array) -> tuple[jax.Array, jax.Array]:
        like = jnp.where(free, like, -1.0)
        best = jnp.argmax(like)
        hit = like[best] >= least
        return free.at[best].set(free[best] & ~hit), hit

    _, hits = lax.scan(take, jnp.ones(likeness.shape[1], bool), jnp.asarray(likeness))
    return hits


def _intersection(a: Array, b: Array) -> jax.Array:
    return area(jnp.concatenate([jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])], -1))


_TINY = 1e-12
