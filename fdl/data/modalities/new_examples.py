"""New data as a model reads it, with what is carried beside."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fdl.core.types import PyTree
from fdl.data.records import Column


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """New examples. inputs: pytree [n, ...], as a source of the dataset gives them. size: n.

    carried: columns that are of the data and not of the model, such as an Id: name -> n values.
    notes:   what was missing or never seen in training, a line each. lengths: i32[n], words of each sentence.
    naive:   f64[n, H] of windows of series, the seasonal naive forecast, of which the model predicts the change; then
             what is carried has H values for each, of the places that are forecast.
    """

    inputs: PyTree
    size: int
    lengths: np.ndarray | None = None
    carried: Mapping[str, Column] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    naive: np.ndarray | None = None
