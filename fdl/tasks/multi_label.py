"""Any number of labels at once.

Shape legend: B batch, K labels.
"""

import jax
import jax.numpy as jnp
import optax

from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.sums import class_counts, macro_f1, mean, ratio, weigh


def multi_label(labels: int) -> Task:
    """Make the task of answering `labels` yes-or-no questions, with the mean sigmoid cross-entropy as its loss.

    outputs: f32[B, K], logits; targets: [B, K], 0 or 1; weights: f32[B].
    `accuracy` counts single answers, `exact` the examples with every answer right.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.shape != (len(outputs), labels):
            raise ValueError(f"multi_label({labels}) wants logits [B, {labels}], the model gives {outputs.shape}")
        logits = outputs.astype(jnp.float32)
        truth, predicted = batch.targets > 0.5, logits > 0
        loss = optax.sigmoid_binary_cross_entropy(logits, truth.astype(jnp.float32))
        counts = class_counts(truth, predicted, batch.weights)
        return {
            "loss": weigh(loss, batch.weights),
            "correct": weigh(truth == predicted, batch.weights),
            "exact": weigh(jnp.all(truth == predicted, -1), batch.weights),
            "per_class": Sum(counts, jnp.sum(batch.weights)),
        }

    return Task(
        name="multi_label",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            "exact": mean("exact", "higher"),
            "f1": Metric(("per_class",), macro_f1, "higher"),
            "micro_f1": Metric(("per_class",), lambda s: ratio(2 * s.total[0].sum(), s.total[1:].sum()), "higher"),
        },
        primary="f1",
        predict=lambda outputs: {"probabilities": jax.nn.sigmoid(outputs.astype(jnp.float32))},
    )
