"""Metrics of two classes that come from every score of a split: how well it ranks, and how far its chances are true.

Shape legend: B batch, n examples.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from fdl.core.types import Array, Metric, Unreduced
from fdl.tasks.sums import ratio

_BINS = 10  # of equally many examples, for the calibration error
_MOST = 5.0  # the logarithm of the highest temperature


def scores(logits: Array, labels: Array, weights: Array) -> dict[str, Unreduced]:
    """Return what evaluation keeps of each example: its label, and the log-odds of the second class, f32[B, 2].

    logits: f32[B], of the second class over the first; labels: i32[B], 0 or 1; weights: f32[B].
    """
    rows = jnp.stack([labels.astype(jnp.float32), jnp.where(weights == 0, 0.0, logits)], -1)
    return {"scores": Unreduced(rows, weights)}


def area_under_curve(scores: Unreduced) -> float:
    """Return the area under the ROC curve from f64[n, 2], label and score: P(positive scores above negative).

    A NaN score ranks below all others.
    """
    label, score = scores.total.T
    distinct, rank = np.unique(np.where(np.isnan(score), -np.inf, score), return_inverse=True)
    positives, negatives = (
        np.bincount(rank, np.where(label == which, scores.weight, 0.0), len(distinct)) for which in (1, 0)
    )
    below = np.cumsum(negatives) - negatives
    return ratio(np.sum(positives * (below + negatives / 2)), positives.sum() * negatives.sum())


def brier(scores: Unreduced) -> float:
    """Return the mean squared error of the chance of the second class (Brier, 1950); 0.25 is that of always a half."""
    label, chance = _chances(scores)
    return ratio(np.sum(scores.weight * (chance - label) ** 2), scores.weight.sum())


def calibration_error(scores: Unreduced) -> float:
    """Return the mean distance of chances from shares, over ten bins of equally many examples (Naeini et al., 2015)."""
    label, chance = _chances(scores)
    order = np.argsort(chance, kind="stable")
    apart = [
        abs(np.sum(scores.weight[part] * (chance[part] - label[part])))
        for part in np.array_split(order, max(1, min(_BINS, len(order))))
    ]
    return ratio(sum(apart), scores.weight.sum())


def best_threshold(scores: Unreduced) -> float:
    """Return the chance of the second class from which on to answer it, for the highest F1 on this split.

    It lies midway between two examples; NaN where no example is of that class.
    """
    label, chance = _chances(scores)
    order = np.argsort(-chance, kind="stable")
    chance, hits, weight = chance[order], (label * scores.weight)[order], scores.weight[order]
    last = np.append(chance[1:] != chance[:-1], True)  # examples with one chance are answered alike
    found = 2 * np.cumsum(hits) / (np.cumsum(weight) + hits.sum())
    if not hits.sum() > 0:
        return float("nan")
    at = int(np.argmax(np.where(last, found, -1.0)))
    return float((chance[at] + chance[at + 1]) / 2) if at + 1 < len(chance) else 0.0


def best_temperature(scores: Unreduced) -> float:
    """Return what to divide log-odds by for the least loss on this split (Guo et al., 2017); above 1 they are too sure.

    Labels are drawn towards each other by one example of each class (Platt, 1999), so that classes which are separated
    without an error do not make chances certain. NaN where a class has no example.
    """
    label, score = scores.total.T
    positives, negatives = (np.sum(scores.weight[label == which]) for which in (1, 0))
    if not (positives > 0 and negatives > 0 and np.isfinite(score).all()):
        return float("nan")
    wanted = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    low, high = -_MOST, _MOST  # of the logarithm: the loss is convex in the inverse temperature
    for _ in range(50):
        middle = (low + high) / 2
        chance = 0.5 * (1 + np.tanh(score / np.exp(middle) / 2))
        too_sure = np.sum(scores.weight * (chance - wanted) * score) > 0
        low, high = (middle, high) if too_sure else (low, middle)
    return float(np.exp((low + high) / 2))


def _chances(scores: Unreduced) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels f64[n] and the chances of the second class f64[n]."""
    label, score = scores.total.T
    return label, 0.5 * (1 + np.tanh(score / 2))


TWO_CLASSES: Mapping[str, Metric] = {
    "auc": Metric(("scores",), area_under_curve, "higher"),
    "brier": Metric(("scores",), brier, "lower"),
    "calibration_error": Metric(("scores",), calibration_error, "lower"),
    "threshold": Metric(("scores",), best_threshold),
    "temperature": Metric(("scores",), best_temperature),
}
