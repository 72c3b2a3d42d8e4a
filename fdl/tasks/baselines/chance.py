"""What guessing reaches: the most frequent class, or the mean.

Shape legend: n examples, K classes.
"""

from typing import Any

import numpy as np

from fdl.core.types import Batch, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted, measure_of
from fdl.tasks.baselines.features import nothing


def chance() -> Baseline:
    """Make the baseline that answers the same for every example: of classes their shares in train, of numbers the mean.

    targets: i[n, ...] or f[n, ...]; weights: f[n, ...], one per example or per target.
    """
    return Baseline(fit=_fit, features=nothing, chance=True)


def _fit(train: Batch, task: Task, outputs: int) -> Fitted:
    targets = np.asarray(train.targets)
    weights = np.asarray(train.weights, np.float64)
    spread = np.broadcast_to(weights.reshape(weights.shape + (1,) * (targets.ndim - weights.ndim)), targets.shape)
    if task.encode is not None:
        mean = np.average(targets, axis=0, weights=spread)
        answer: Any = task.encode(np.asarray(mean)[None])
        return Fitted(
            "the mean", measure_of(task, lambda some: np.broadcast_to(answer, (len(some.targets), *answer.shape[1:])))
        )
    # One more of each class: a class that train lacks is not impossible.
    counts = np.bincount(targets.ravel(), spread.ravel(), outputs) + 1
    logits = np.log(counts / counts.sum())
    return Fitted(
        "the most frequent class",
        measure_of(task, lambda some: np.broadcast_to(logits, (*np.shape(some.targets), outputs))),
    )
