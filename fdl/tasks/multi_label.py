"""Multi-label classification.

Shape legend: B batch, K labels.
"""

import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.counts import class_counts, counts
from fdl.tasks.sums import macro_f1, mean, outside, ratio, sigmoid_cross_entropy, weigh


def multi_label(labels: int) -> Task:
    """Make the task of multi-label classification, with the mean sigmoid cross-entropy as its loss.

    outputs: f32[B, K], logits; targets: [B, K], 0 or 1; weights: f32[B].
    `accuracy` is over single labels, `exact` the fraction of examples with all labels correct.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.shape != (len(outputs), labels):
            raise UserError(f"multi_label({labels}) wants logits [B, {labels}], the model gives {outputs.shape}")
        logits = outputs.astype(jnp.float32)
        truth, predicted = batch.targets > 0.5, logits > 0
        loss = sigmoid_cross_entropy(logits, truth.astype(jnp.float32))
        return {
            "loss": weigh(loss, batch.weights),
            "correct": weigh(truth == predicted, batch.weights),
            "exact": weigh(jnp.all(truth == predicted, -1), batch.weights),
            "per_class": class_counts(truth, predicted, batch.weights),
        }

    return Task(
        name="multi_label",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            "exact": mean("exact", "higher"),
            "f1": Metric(("per_class",), macro_f1, "higher"),
            "micro_f1": Metric(("per_class",), micro_f1, "higher"),
        },
        primary="f1",
        predict=lambda outputs: {"probabilities": jax.nn.sigmoid(outputs.astype(jnp.float32))},
        check=lambda targets: outside(targets, 0, 1, "0 or 1, as multi_label() wants; give 0 or 1 for each label"),
    )


def micro_f1(per_class: Sum) -> float:
    """Return the F1 over all labels pooled, from counts [3, K]: true positives, positives, predicted positives."""
    hits, occurring, predicted = counts(per_class).sum(1)
    return ratio(2 * hits, occurring + predicted)
