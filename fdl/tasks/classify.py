"""One class of many, for an example, a token or a pixel.

Shape legend: B batch, K classes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.types import Array, Batch, Metric, PyTree, Sum, Sums, Task
from fdl.tasks.counts import counts, tally
from fdl.tasks.sums import cross_entropy, macro_f1, mean, outside, spread, weigh

_DRAWABLE = 100  # a confusion matrix of more classes than this is never looked at


def classify(classes: int, *, smoothing: float = 0.0) -> Task:
    """Make the task of choosing one of `classes`, with the softmax cross-entropy as its loss.

    outputs: f32[B, ..., K], logits: f32[B, T, K] labels a sequence, f32[B, H, W, K] an image.
    targets: i32[B, ...], or f32[B, ..., K] where augmentation mixes classes.
    weights: f32[B], or one for each target.
    smoothing: the share of each target that is spread evenly over all classes (Szegedy et al., 2016), in the loss only.
    Macro F1 is the plain mean over the classes that occur or are predicted. More than 5 classes add `top5`; up to 100
    add the confusion matrix (rows: target, columns: predicted).
    """

    if isinstance(smoothing, int | float) and not 0 <= smoothing < 1:
        raise ValueError(f"smoothing {smoothing} is not a share of a target; give 0 or more and less than 1")

    def sums(outputs: Array, batch: Batch) -> Sums:
        mixed = batch.targets.ndim == outputs.ndim
        shape = batch.targets.shape[:-1] if mixed else batch.targets.shape
        if outputs.shape != (*shape, classes):
            raise ValueError(f"classify({classes}) wants logits {(*shape, classes)}, the model gives {outputs.shape}")
        logits = outputs.reshape(-1, classes).astype(jnp.float32)
        weights = spread(batch.weights, shape).reshape(-1)
        if mixed:
            shares = batch.targets.reshape(-1, classes)
            labels = jnp.argmax(shares, -1)
        else:
            labels = batch.targets.reshape(-1).astype(jnp.int32)
            shares = jax.nn.one_hot(labels, classes)
        predicted = jnp.argmax(logits, -1)
        hits = jnp.where(labels == predicted, weights, 0.0)
        kinds = jnp.repeat(jnp.arange(3), len(labels))
        per_class = tally(
            (kinds, jnp.concatenate([labels, labels, predicted])),
            jnp.concatenate([hits, weights, weights]),
            (3, classes),
        )
        found: dict[str, Sum] = {
            "loss": weigh(cross_entropy(logits, optax.smooth_labels(shares, smoothing)), weights),
            "correct": weigh(labels == predicted, weights),
            "per_class": Sum(per_class.total, jnp.sum(weights)),
        }
        if classes > 5:
            found["top5"] = weigh(rank(logits, labels) < 5, weights)
        if classes <= _DRAWABLE:
            found["confusion"] = tally((labels, predicted), weights, (classes, classes))
        return found

    def check(targets: PyTree) -> tuple[int, str] | None:
        if np.asarray(targets).dtype.kind == "f":  # shares of classes
            return None
        return outside(targets, 0, classes - 1, f"a class of classify({classes}): 0 to {classes - 1}")

    return Task(
        name="classify",
        sums=sums,
        metrics={
            "loss": mean("loss", "lower"),
            "accuracy": mean("correct", "higher"),
            "top5": mean("top5", "higher"),
            "f1": Metric(("per_class",), macro_f1, "higher"),
            "confusion": Metric(("confusion",), lambda s: counts(s).tolist()),
        },
        primary="accuracy",
        predict=_predict,
        check=check,
    )


def rank(logits: Array, labels: Array) -> jax.Array:
    """Return i32[N], how many classes come before the label's, of `logits: f32[N, K]`.

    Of equals the first class comes first, as in argmax, so that exactly k classes are among the best k; what is not a
    number is never behind a label that is a number, and a label whose logit is none is the last.
    """
    own, classes = jnp.take_along_axis(logits, labels[:, None], -1), jnp.arange(logits.shape[-1])[None]
    behind = (logits < own) | ((logits == own) & (classes >= labels[:, None]))
    return logits.shape[-1] - jnp.sum(behind, -1)


def _predict(outputs: Array) -> dict[str, Array]:
    shares = jax.nn.softmax(outputs.astype(jnp.float32))
    return {"class": jnp.argmax(shares, -1), "probability": jnp.max(shares, -1), "probabilities": shares}
