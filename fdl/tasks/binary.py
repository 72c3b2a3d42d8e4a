"""Binary classification.

Shape legend: B batch.
"""

import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.counts import counts, tally
from fdl.tasks.sums import mean, outside, ratio, sigmoid_cross_entropy, weigh
from fdl.tasks.two_classes import TWO_CLASSES, scores


def binary() -> Task:
    """Make the task of binary classification from one logit, with the sigmoid cross-entropy as its loss.

    outputs: f32[B] or f32[B, 1], logits; targets: [B] or [B, 1], 0 or 1; weights: f32[B].
    The metrics of `two_classes` are of the class 1.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.shape not in ((len(outputs),), (len(outputs), 1)):
            raise UserError(f"binary() wants logits [B] or [B, 1], the model gives {outputs.shape}; give it one output")
        logits = outputs.reshape(-1).astype(jnp.float32)
        targets = batch.targets.reshape(-1)
        labels, predicted = (targets > 0.5).astype(jnp.int32), (logits > 0).astype(jnp.int32)
        weights = batch.weights.astype(jnp.float32)
        return {
            "loss": weigh(sigmoid_cross_entropy(logits, targets.astype(jnp.float32)), weights),
            "correct": weigh(labels == predicted, weights),
            "confusion": tally((labels, predicted), weights, (2, 2)),
            **scores(logits, labels, weights),
        }

    return Task(
        name="binary",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            **TWO_CLASSES,
            "f1": Metric(("confusion",), f1, "higher"),
            "precision": Metric(("confusion",), lambda s: ratio(counts(s)[1, 1], counts(s)[:, 1].sum()), "higher"),
            "recall": Metric(("confusion",), lambda s: ratio(counts(s)[1, 1], counts(s)[1].sum()), "higher"),
            "confusion": Metric(("confusion",), lambda s: counts(s).tolist()),
        },
        primary="accuracy",
        predict=_predict,
        check=lambda targets: outside(targets, 0, 1, "0 or 1, as binary() wants; number the two classes 0 and 1"),
    )


def _predict(outputs: Array) -> dict[str, Array]:
    probability = jax.nn.sigmoid(outputs.reshape(-1).astype(jnp.float32))
    return {"class": (probability > 0.5).astype(jnp.int32), "probability": probability}


def f1(confusion: Sum) -> float:
    """Return the harmonic mean of precision and recall, from counts [target, predicted]."""
    (_, false_positives), (false_negatives, true_positives) = counts(confusion)
    return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives)
