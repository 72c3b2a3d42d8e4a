"""Yes or no from one output neuron.

Shape legend: B batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.sums import mean, ratio, tally, weigh

_BINS = 2**16


def binary() -> Task:
    """Make the task of telling 1 from 0 by the sign of one logit, with the sigmoid cross-entropy as its loss.

    outputs: f32[B] or f32[B, 1], logits; targets: [B] or [B, 1], 0 or 1; weights: f32[B].
    AUC is added up over batches of any size from counts per score, and scores are told apart by their sign, exponent
    and first 7 bits: logits that differ by less than 1 % may count as a tie, and a tie counts half.
    """

    def sums(outputs: Array, batch: Batch) -> Sums:
        if outputs.shape not in ((len(outputs),), (len(outputs), 1)):
            raise ValueError(
                f"binary() wants logits [B] or [B, 1], the model gives {outputs.shape}; give it one neuron"
            )
        logits = outputs.reshape(-1).astype(jnp.float32)
        targets = batch.targets.reshape(-1)
        labels, predicted = targets.astype(jnp.int32), (logits > 0).astype(jnp.int32)
        weights = batch.weights.astype(jnp.float32)
        return {
            "loss": weigh(optax.sigmoid_binary_cross_entropy(logits, targets.astype(jnp.float32)), weights),
            "correct": weigh(labels == predicted, weights),
            "confusion": tally(labels, predicted, weights, (2, 2)),
            "scores": tally(labels, score_bin(logits), weights, (2, _BINS)),
        }

    return Task(
        name="binary",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            "auc": Metric(("scores",), area_under_curve, "higher"),
            "f1": Metric(("confusion",), f1, "higher"),
            "precision": Metric(("confusion",), lambda s: ratio(s.total[1, 1], s.total[:, 1].sum()), "higher"),
            "recall": Metric(("confusion",), lambda s: ratio(s.total[1, 1], s.total[1].sum()), "higher"),
            "confusion": Metric(("confusion",), lambda s: s.total.tolist()),
        },
        primary="accuracy",
        predict=_predict,
    )


def _predict(outputs: Array) -> dict[str, Array]:
    probability = jax.nn.sigmoid(outputs.reshape(-1).astype(jnp.float32))
    return {"class": (probability > 0.5).astype(jnp.int32), "probability": probability}


def f1(confusion: Sum) -> float:
    """Return the harmonic mean of precision and recall, from counts f64[target, predicted]."""
    hits = 2 * confusion.total[1, 1]
    return ratio(hits, hits + confusion.total[0, 1] + confusion.total[1, 0])


def score_bin(scores: Array) -> jax.Array:
    """Map f32 scores to i32 bins of 0..65535 so that a higher score never has a lower bin.

    The bits of a positive float rise with it as an unsigned integer, those of a negative one fall.
    """
    bits = lax.bitcast_convert_type(jnp.where(scores == 0, 0.0, scores).astype(jnp.float32), jnp.uint32)
    ordered = jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))
    return (ordered >> 16).astype(jnp.int32)


def area_under_curve(scores: Sum) -> float:
    """Return the chance that a random positive scores above a random negative, from counts f64[label, bin]."""
    negatives, positives = scores.total
    below = np.cumsum(negatives) - negatives
    return ratio(np.sum(positives * (below + negatives / 2)), positives.sum() * negatives.sum())
