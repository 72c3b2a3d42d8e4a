"""A task's predictions in the terms of the data: numbers in the unit of the targets, classes with their names.

Shape legend: B batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fdl.data.dataset import Spec


def in_units(answers: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Return predictions [B, ...] with "value" as f64 in the shape and unit of the targets, and "name" of each class.

    The dataset's offset is added back in 64 bits.
    """
    found = dict(answers)
    if "value" in found and spec.targets is not None:
        value = np.asarray(found["value"])
        found["value"] = value.astype(np.float64).reshape(len(value), *spec.targets.shape) + spec.offset
    if "class" in found and np.ndim(found["class"]) == 1 and spec.names:
        found["name"] = [spec.names[number] for number in found["class"]]
    return found


def values_of(answers: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return the i-th of predictions [B, ...], in JSON's types."""
    return {
        name: column[i] if isinstance(column[i], str | list) else column[i].tolist() for name, column in answers.items()
    }
