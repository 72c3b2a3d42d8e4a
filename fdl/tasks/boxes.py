"""Boxes: left, top, right, bottom. How far two agree, and which of many to keep.

Shape legend: M and N boxes.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.types import Array


def area(boxes: Array) -> jax.Array:
    """Return f32[...], the area of each of `boxes: f32[..., 4]`; 0 where a side is not positive."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def overlap(a: Array, b: Array) -> jax.Array:
    """Return f32[...], intersection over union of `a` and `b`, f32[..., 4] each or what broadcasts to it."""
    both = _intersection(a, b)
    return both / jnp.maximum(area(a) + area(b) - both, _TINY)


def generalised(a: Array, b: Array) -> jax.Array:
    """Return f32[...], overlap less the share of the smallest box around both that neither fills: from -1 to 1.

    Boxes that do not touch still pull at each other. Paper: GIoU (Rezatofighi et al., 2019).
    """
    union = area(a) + area(b) - _intersection(a, b)
    least, greatest = jnp.minimum(a, b), jnp.maximum(a, b)
    around = jnp.maximum(area(jnp.concatenate([least[..., :2], greatest[..., 2:]], -1)), _TINY)
    return overlap(a, b) - (around - union) / around


def kept(boxes: Array, labels: Array, *, above: float = 0.5) -> jax.Array:
    """Return bool[M]: which of `boxes: f32[M, 4]`, the best first, are not much like a better one that is kept.

    labels: i32[M]; boxes of two classes do not compete. above: the overlap from which two are taken for one.
    """
    rivals = (overlap(boxes[:, None], boxes[None]) > above) & (labels[:, None] == labels[None])

    def judge(place: Array, keep: jax.Array) -> jax.Array:
        better = jnp.arange(len(boxes)) < place
        return keep.at[place].set(~jnp.any(rivals[place] & keep & better))

    return lax.fori_loop(0, len(boxes), judge, jnp.ones(len(boxes), bool))


def matched(likeness: Array, least: Array) -> jax.Array:
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
