"""Class weights in training: each class counts as much as any other, however many examples it has.

Shape legend: B batch, K classes.
"""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch
from fdl.data import Dataset
from fdl.experiment import Experiment

_BLOCK = 4096  # rows whose targets are counted together


def balanced(experiment: Experiment) -> Experiment:
    """Return the experiment whose training examples weigh n / (K · n of their class), 1 on average.

    The weights are part of the loss and of the metrics of training; validation and test count every example once. They
    are computed from train when the first step is traced. Targets are i32[B, ...], or class probabilities f32[B, K].
    """
    dataset, before = experiment.dataset, experiment.dataset.augment
    if not dataset.spec.classes or experiment.task.encode is not None:
        raise UserError(f"--balance weighs classes, and {experiment.name} predicts none; leave it out")
    weights = cache(lambda: class_weights(dataset))

    def augment(key: Array, batch: Batch) -> Batch:
        batch = before(key, batch) if before else batch
        per_class, targets = jnp.asarray(weights()), jnp.asarray(batch.targets)
        hard = jnp.issubdtype(targets.dtype, jnp.integer)
        factor = per_class[targets] if hard else targets @ per_class
        known = jnp.asarray(batch.weights)
        return batch._replace(weights=known.reshape(known.shape + (1,) * (factor.ndim - known.ndim)) * factor)

    return replace(experiment, dataset=dataset.augmented(augment))


def class_weights(dataset: Dataset) -> np.ndarray:
    """Return f32[K], the weight of each class: n / (K · its number of targets in train)."""
    source, classes = dataset.load("train"), dataset.spec.classes or 0
    counts = np.zeros(classes)
    for start in range(0, len(source), _BLOCK):
        batch = source.fetch(np.arange(start, min(start + _BLOCK, len(source))))
        targets = np.asarray(jax.tree.leaves(batch.targets)[0]).astype(np.int64).ravel()
        counts += np.bincount(targets, minlength=classes)
    result: np.ndarray = (counts.sum() / (classes * np.maximum(counts, 1))).astype(np.float32)
    return result
