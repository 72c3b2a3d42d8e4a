"""What repeating the last season reaches.

Shape legend: n examples, H places to forecast.
"""

from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted, measure_of
from fdl.tasks.baselines.features import nothing


def seasonal_naive() -> Baseline:
    """Make the baseline of a forecast that repeats the last season, or the last value where there is none.

    targets: f[n, H], the change against that forecast, as `series` has them: the answer is no change. Of a random walk
    nothing is better, so this is what guessing reaches.
    """
    return Baseline(fit=_fit, features=nothing, chance=True)


def _fit(train: Batch, task: Task, outputs: int) -> Fitted:
    if task.encode is None:
        raise UserError(f"seasonal_naive() is of changes, and {task.name} predicts no number; leave it out")
    encode: Any = task.encode
    return Fitted("seasonal naive", measure_of(task, lambda some: encode(np.zeros(np.shape(some.targets)))))
