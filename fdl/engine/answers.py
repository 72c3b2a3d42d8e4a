"""A task's predictions in the terms of the data: numbers in the unit of the targets, classes with their names.

Shape legend: B batch, H places that a window of a series forecasts.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fdl.data.dataset import Dataset, Places


def in_units(answers: Mapping[str, Any], dataset: Dataset, places: Places | None = None) -> dict[str, Any]:
    """Return predictions [B, ...] with "value" as f64 in the shape and unit of the targets, and "name" of each class.

    The dataset's offset is added back in 64 bits. Of a series "value" is the forecast where its places are known, and
    else "change" is what is predicted: that against the seasonal naive forecast.
    """
    spec, found = dataset.spec, dict(answers)
    if "value" in found and spec.targets is not None:
        value = np.asarray(found["value"])
        found["value"] = value.astype(np.float64).reshape(len(value), *spec.targets.shape) + spec.offset
    if "class" in found and np.ndim(found["class"]) == 1 and spec.names:
        found["name"] = [spec.names[number] for number in found["class"]]
    if places is not None:
        found["value"] = found["value"] + places.naive
    elif predicts_change(dataset):
        found = {"change" if name == "value" else name: column for name, column in found.items()}
    return found


def predicts_change(dataset: Dataset) -> bool:
    """Say whether targets are the change against the seasonal naive forecast, as those of series are."""
    return "seasonal_naive" in dataset.fitted


def values_of(answers: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return the i-th of predictions [B, ...], in JSON's types."""
    return {
        name: column[i] if isinstance(column[i], str | list) else column[i].tolist() for name, column in answers.items()
    }
