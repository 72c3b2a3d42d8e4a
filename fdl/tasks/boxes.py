"""Boxes (left, top, right, bottom): IoU, GIoU, non-maximum suppression and matching.

Shape legend: M and N boxes, P grid cells, K classes.
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
    """Return f32[...], intersection over union of `a` and `b`, f32[..., 4] each or what broadcasts to it.

    >>> round(iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 0.0, 3.0, 2.0])).item(), 3)
    0.333
    """
    both = _intersection(a, b)
    return both / jnp.maximum(area(a) + area(b) - both, _TINY)


def giou(a: Array, b: Array) -> jax.Array:
    """Return f32[...], generalised IoU: IoU minus the fraction of the enclosing box outside the union; -1 to 1.

    Its gradient does not vanish for disjoint boxes. Paper: GIoU (Rezatofighi et al., 2019).
    """
    union = area(a) + area(b) - _intersection(a, b)
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    enclosing = jnp.maximum(area(jnp.concatenate([low[..., :2], high[..., 2:]], -1)), _TINY)
    return iou(a, b) - (enclosing - union) / enclosing


def nms(boxes: Array, logits: Array, most: int, *, threshold: float = 0.5) -> tuple[jax.Array, jax.Array]:
    """Return i32[M] and f32[M]: the candidates that non-maximum suppression keeps, best first, and their logits.

    boxes: f32[P, 4], one per cell; logits: f32[P, K]: a candidate is a cell and a class, numbered cell * K + class.
    There is no top-k cut before the suppression, so exactly the best M = `most` are kept: each round takes the best
    remaining candidate and drops those of its class with an IoU above `threshold`. Where none is left the logit is
    -inf; a NaN logit is no candidate.
    """
    boxes, classes = jnp.asarray(boxes), logits.shape[-1]

    def take(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = jnp.argmax(left)
        cell, label = best // classes, best % classes
        overlapping = (iou(boxes[cell][None], boxes) > threshold).at[cell].set(True)
        drop = overlapping[:, None] & (jnp.arange(classes) == label)[None]
        return jnp.where(drop, -jnp.inf, left), (best.astype(jnp.int32), left.reshape(-1)[best])

    _, (chosen, best) = lax.scan(take, jnp.where(jnp.isnan(logits), -jnp.inf, logits), length=most)
    return chosen, best


def greedy_match(ious: Array, threshold: Array) -> jax.Array:
    """Return bool[M]: whether each of M detections, best first, matches a ground-truth box of its own.

    ious: f32[M, N], IoU of each detection with each ground-truth box, negative where the classes differ. A detection
    takes the unmatched ground truth of the highest IoU, if that is at least `threshold: f32[]`.
    """

    def take(unmatched: jax.Array, candidates: jax.Array) -> tuple[jax.Array, jax.Array]:
        candidates = jnp.where(unmatched, candidates, -1.0)
        best = jnp.argmax(candidates)
        hit = candidates[best] >= threshold
        return unmatched.at[best].set(unmatched[best] & ~hit), hit

    _, hits = lax.scan(take, jnp.ones(ious.shape[1], bool), jnp.asarray(ious))
    return hits


def _intersection(a: Array, b: Array) -> jax.Array:
    return area(jnp.concatenate([jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])], -1))


_TINY = 1e-12
