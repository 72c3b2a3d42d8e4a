"""Multi-class classification of an example, a token or a pixel.

Shape legend: B batch, K classes.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, Metric, PyTree, Sum, Sums, Task, Unreduced
from fdl.tasks.counts import counts, tally
from fdl.tasks.sums import cross_entropy, macro_f1, mean, outside, spread, weigh
from fdl.tasks.two_classes import TWO_CLASSES, scores

_MAX_CONFUSION = 100  # no confusion matrix for more classes: nobody could read it


def classify(classes: int, *, smoothing: float = 0.0) -> Task:
    """Make the task of classification into `classes`, with the softmax cross-entropy as its loss.

    outputs: f32[B, ..., K], logits: f32[B, T, K] labels a sequence, f32[B, H, W, K] an image.
    targets: i32[B, ...], or class probabilities f32[B, ..., K] where augmentation mixes classes.
    weights: f32[B], or one per target.
    smoothing: label smoothing (Szegedy et al., 2016), in the loss only.
    Macro F1 is the unweighted mean over the classes that occur or are predicted. More than 5 classes add `top5`; up to
    100 add the confusion matrix (rows: target, columns: predicted). Two classes, one per example, add the metrics of
    `two_classes`, of the second one.
    """
    if isinstance(smoothing, int | float) and not 0 <= smoothing < 1:
        raise UserError(f"smoothing {smoothing} is out of range; give 0 or more and less than 1")

    def check(targets: PyTree) -> tuple[int, str] | None:
        if np.asarray(targets).dtype.kind == "f":  # class probabilities
            return None
        return outside(targets, 0, classes - 1, f"a class of classify({classes}): 0 to {classes - 1}")

    return Task(
        name="classify",
        sums=partial(classification_sums, classes=classes, smoothing=smoothing),
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            **(TWO_CLASSES if classes == 2 else {}),
            "top5": mean("top5", "higher"),
            "f1": Metric(("per_class",), macro_f1, "higher"),
            "confusion": Metric(("confusion",), lambda s: counts(s).tolist()),
        },
        primary="accuracy",
        predict=_predict,
        check=check,
    )


def classification_sums(outputs: Array, batch: Batch, *, classes: int, smoothing: float) -> Sums:
    """Return the sums of `classify`: the loss, what is right, and counts by class."""
    soft = batch.targets.ndim == outputs.ndim
    shape = batch.targets.shape[:-1] if soft else batch.targets.shape
    if outputs.shape != (*shape, classes):
        raise UserError(f"classify({classes}) wants logits {(*shape, classes)}, the model gives {outputs.shape}")
    logits = outputs.reshape(-1, classes).astype(jnp.float32)
    weights = spread(batch.weights, shape).reshape(-1)
    if soft:
        probabilities = batch.targets.reshape(-1, classes)
        labels = jnp.argmax(probabilities, -1)
    else:
        labels = batch.targets.reshape(-1).astype(jnp.int32)
        probabilities = jax.nn.one_hot(labels, classes)
    predicted = jnp.argmax(logits, -1)
    hits = jnp.where(labels == predicted, weights, 0.0)
    kinds = jnp.repeat(jnp.arange(3), len(labels))
    per_class = tally(
        (kinds, jnp.concatenate([labels, labels, predicted])),
        jnp.concatenate([hits, weights, weights]),
        (3, classes),
    )
    totals: dict[str, Sum | Unreduced] = {
        "loss": weigh(cross_entropy(logits, optax.smooth_labels(probabilities, smoothing)), weights),
        "correct": weigh(labels == predicted, weights),
        "per_class": Sum(per_class.total, jnp.sum(weights)),
    }
    if classes == 2 and len(shape) == 1:
        totals |= scores(logits[:, 1] - logits[:, 0], labels, weights)
    if classes > 5:
        totals["top5"] = weigh(rank(logits, labels) < 5, weights)
    if classes <= _MAX_CONFUSION:
        totals["confusion"] = tally((labels, predicted), weights, (classes, classes))
    return totals


def rank(logits: Array, labels: Array) -> jax.Array:
    """Return i32[N], the rank from 0 of the label among `logits: f32[N, K]`.

    Ties go to the lower class, as in argmax, so exactly k classes are in the top k. A NaN ranks ahead of any
    number; a label whose own logit is NaN ranks last.
    """
    label_logit, classes = jnp.take_along_axis(logits, labels[:, None], -1), jnp.arange(logits.shape[-1])[None]
    behind = (logits < label_logit) | ((logits == label_logit) & (classes >= labels[:, None]))
    return logits.shape[-1] - jnp.sum(behind, -1)


def _predict(outputs: Array) -> dict[str, Array]:
    probabilities = jax.nn.softmax(outputs.astype(jnp.float32))
    return {
        "class": jnp.argmax(probabilities, -1),
        "probability": jnp.max(probabilities, -1),
        "probabilities": probabilities,
    }
