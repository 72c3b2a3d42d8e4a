"""Datasets: where examples come from, in which order, and how they are split; one file each.

    fdl.data.table(dataframe, target="y")
    fdl.data.arrays(x, y, validation=0.1, test=0.1)
    fdl.data.images(arrays, labels)

The functions are imported when they are first used: a run that reads no table imports no reader.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fdl.data.dataset import Dataset, LazySource, Source, Spec

if TYPE_CHECKING:
    from fdl.data.modalities.arrays import arrays as arrays
    from fdl.data.modalities.images import images as images
    from fdl.data.modalities.table import table as table

_HOMES = {name: f"fdl.data.modalities.{name}" for name in ("arrays", "images", "table")}
__all__ = ["Dataset", "LazySource", "Source", "Spec", "arrays", "images", "table"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdl.data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
