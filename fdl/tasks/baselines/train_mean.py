"""What forecasting the mean of the training part reaches, whatever came before.

Shape legend: n windows, T places of the past, K columns, H places to forecast.
"""

from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch, PyTree, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted, measure_of


def train_mean(scale: float, season: int = 1) -> Baseline:
    """Make the baseline of a forecast that is always the mean of train: what guessing reaches where nothing lasts.

    inputs: f[n, T, K], the first column standardised by that mean and `scale`, its deviation in the targets' unit.
    targets: f[n, H], the change against the seasonal naive forecast, which repeats the last `season` places of T.
    """
    return Baseline(fit=lambda train, task, outputs: _fit(task, scale, season), features=_first, chance=True)


def _first(inputs: PyTree) -> np.ndarray:
    return np.asarray(inputs, np.float64)[..., 0]


def _fit(task: Task, scale: float, season: int) -> Fitted:
    if task.encode is None:
        raise UserError(f"train_mean() is of changes, and {task.name} predicts no number; leave it out")
    encode: Any = task.encode

    def predict(some: Batch) -> np.ndarray:
        past: Any = some.inputs
        naive = past.shape[1] - season + np.arange(np.shape(some.targets)[1]) % season
        return np.asarray(encode(-past[:, naive] * scale))

    return Fitted("the mean of train", measure_of(task, predict))
