"""One class of many, for an example, a token or a pixel.

Shape legend: B batch, K classes.
"""

import jax
import jax.numpy as jnp
import optax

from fdl.core.types import Array, Batch, Metric, Sum, Sums, Task
from fdl.tasks.sums import macro_f1, mean, spread, tally, weigh

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
        predict=_predict,
    )


def _predict(outputs: Array) -> dict[str, Array]:
    shares = jax.nn.softmax(outputs.astype(jnp.float32))
    return {"class": jnp.argmax(shares, -1), "probability": jnp.max(shares, -1), "probabilities": shares}
