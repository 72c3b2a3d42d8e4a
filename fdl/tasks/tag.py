"""Tagging: a class for each word and, where the tags mark spans, whole spans.

Shape legend: B batch, T words of a sentence, K tags.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.classify import classify
from fdl.tasks.sums import ratio, spread

_MARKED = re.compile(r"([BIESLU])-(.+)")
_OUTSIDE, _BEGIN, _INSIDE, _END, _SINGLE = range(5)
_MARKS = {"B": _BEGIN, "I": _INSIDE, "E": _END, "L": _END, "S": _SINGLE, "U": _SINGLE}


def tag(names: Sequence[str]) -> Task:
    """Make the task of tagging words: `classify` of each word, and precision, recall and F1 of spans.

    outputs: f32[B, T, K], logits; targets: i32[B, T]; weights: f32[B, T], 0 after the end of a sentence.
    names:  the K tags. Where they are O and B-, I-, E- (or L-) and S- (or U-) with a kind of span, a span is right if
            its first word, its last and its kind are; one that begins without B counts from where its kind begins, as
            in conlleval (Tjong Kim Sang and Buchholz, 2000). Spans are counted by the weight of their first word.
            Where no span is predicted precision is 0, as there.
    """
    base = classify(len(names))
    marks, kinds = _scheme(names)
    if not marks.any():
        return replace(base, name="tag")

    def sums(outputs: Array, batch: Batch) -> Sums:
        weights = spread(batch.weights, batch.targets.shape)
        spans = span_sums(jnp.argmax(outputs, -1), batch.targets, weights, marks, kinds)
        return {**base.sums(outputs, batch), **spans}

    return replace(
        base,
        name="tag",
        sums=sums,
        metrics={
            **base.metrics,
            "precision": Metric(("spans_right", "spans_predicted"), _precision, "higher"),
            "recall": Metric(("spans_right", "spans_true"), _share, "higher"),
            "span_f1": Metric(("spans_right", "spans_predicted", "spans_true"), _f1, "higher"),
        },
        primary="span_f1",
    )


def span_sums(predicted: Array, targets: Array, weights: Array, marks: np.ndarray, kinds: np.ndarray) -> dict[str, Sum]:
    """Return the weight of the spans that are right, predicted and true.

    predicted, targets: i32[B, T]. weights: f32[B, T]. marks, kinds: i32[K], of each tag.
    """
    there = weights > 0
    starts, ends, of = zip(*(_spans(tags, there, marks, kinds) for tags in (predicted, targets)), strict=True)
    right = starts[0] & starts[1] & (ends[0] == ends[1]) & (of[0] == of[1])
    counted = {"spans_right": right, "spans_predicted": starts[0], "spans_true": starts[1]}
    return {name: Sum(jnp.sum(jnp.where(mask, weights, 0.0)), jnp.sum(weights)) for name, mask in counted.items()}


def _spans(tags: Array, there: Array, marks: np.ndarray, kinds: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return where spans begin, bool[B, T], and of each word the place of the next end and its kind, i32[B, T]."""
    mark = jnp.where(there, jnp.asarray(marks)[tags], _OUTSIDE)
    kind = jnp.where(there, jnp.asarray(kinds)[tags], -1)
    inside = mark != _OUTSIDE
    before = jnp.pad(mark[:, :-1], ((0, 0), (1, 0)))
    kind_before = jnp.pad(kind[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    new = (mark == _BEGIN) | (mark == _SINGLE) | (before == _END) | (before == _SINGLE) | (kind != kind_before)
    starts = inside & new
    goes_on = jnp.pad(inside[:, 1:] & ~starts[:, 1:], ((0, 0), (0, 1)))
    place = jnp.arange(tags.shape[1])[None]
    ends = lax.cummin(jnp.where(inside & ~goes_on, place, tags.shape[1]), axis=1, reverse=True)
    return starts, ends, kind


def _scheme(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return i32[K] marks and i32[K] kinds of spans; all 0 and -1 where the tags mark none."""
    marked = [_MARKED.fullmatch(name) for name in names]
    if not any(marked) or any(match is None and name != "O" for match, name in zip(marked, names, strict=True)):
        return np.zeros(len(names), np.int32), np.full(len(names), -1, np.int32)
    known = sorted({match[2] for match in marked if match})
    marks = [_MARKS[match[1]] if match else _OUTSIDE for match in marked]
    return np.array(marks, np.int32), np.array([known.index(match[2]) if match else -1 for match in marked], np.int32)


def _precision(right: Sum, predicted: Sum) -> float:
    return ratio(right.total, predicted.total) if predicted.total else 0.0


def _share(right: Sum, of: Sum) -> float:
    return ratio(right.total, of.total)


def _f1(right: Sum, predicted: Sum, true: Sum) -> float:
    return ratio(2 * right.total, predicted.total + true.total)
