"""One class of many.

Shape legend: B batch, K classes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.tasks.sums import mean, tally, weigh
from fdl.types import Array, Batch, Metric, Sum, Sums, Task

_DRAWABLE = 100  # a confusion matrix of more classes than this is never looked at


def classify(classes: int, *, smoothing: float = 0.0) -> Task:
    """Make the task of choosing one of `classes`, with the softmax cross-entropy as its loss.

    outputs: f32[B, K], logits; targets: i32[B], or f32[B, K] where augmentation mixes classes; weights: f32[B].
    smoothing: the share of each target that is spread evenly over all classes (Szegedy et al., 2016), in the loss only.
    Macro F1 is the plain mean over the classes that occur or are predicted. More than 5 classes add `top5`; up to 100
    add the confusion matrix (rows: target, columns: predicted).
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.shape != (len(outputs), classes):
            raise ValueError(f"classify({classes}) wants logits [B, {classes}], the model gives {outputs.shape}")
        logits = outputs.astype(jnp.float32)
        mixed = batch.targets.ndim == 2
        labels = jnp.argmax(batch.targets, -1) if mixed else batch.targets.astype(jnp.int32)
        shares = batch.targets if mixed else jax.nn.one_hot(labels, classes)
        predicted = jnp.argmax(logits, -1)
        weights = batch.weights.astype(jnp.float32)
        hits = jnp.where(labels == predicted, weights, 0.0)
        per_class = jnp.zeros((3, classes)).at[0, labels].add(hits)
        per_class = per_class.at[1, labels].add(weights).at[2, predicted].add(weights)
        found: dict[str, Sum] = {
            "loss": weigh(optax.softmax_cross_entropy(logits, optax.smooth_labels(shares, smoothing)), weights),
            "correct": weigh(labels == predicted, weights),
            "per_class": Sum(per_class, jnp.sum(weights)),
        }
        if classes > 5:
            own = jnp.take_along_axis(logits, labels[:, None], -1)
            ahead = classes - jnp.sum(logits <= own, -1)  # counted this way round, NaN is never among the best
            found["top5"] = weigh(ahead < 5, weights)
        if classes <= _DRAWABLE:
            found["confusion"] = tally(labels, predicted, weights, (classes, classes))
        return found

    return Task(
        name="classify",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            "top5": mean("top5", "higher"),
            "f1": Metric(("per_class",), macro_f1, "higher"),
            "confusion": Metric(("confusion",), lambda s: s.total.tolist()),
        },
        primary="accuracy",
    )


def macro_f1(per_class: Sum) -> float:
    """Return the mean F1 of the classes seen, from f64[3, K]: rightly predicted, occurring, predicted."""
    hits, occurring, predicted = per_class.total
    seen = occurring + predicted > 0
    return float(np.mean(2 * hits[seen] / (occurring + predicted)[seen])) if seen.any() else float("nan")
