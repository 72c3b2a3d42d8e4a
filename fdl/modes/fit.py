"""Fit data in memory in one call: the generic page of its kind, trained as from the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.log import Log
from fdl.data.modalities.images import in_memory
from fdl.data.readers.memory import as_records, frame_of_array
from fdl.data.readers.supplied import IN_MEMORY, supplied
from fdl.data.records import Records
from fdl.experiment import maker
from fdl.modes.train import train
from fdl.runs.atomic_files import finite
from fdl.runs.workdir import digest_of
from fdl.runs.writers.writer import Writer
from fdl.trained import Trained, restore


def fit(
    x: Any,
    y: Any,
    *,
    workdir: Path | str | None = None,
    page: str = "",
    writers: Sequence[Writer] = (),
    log: Log | None = print,
    **knobs: Any,
) -> Trained:
    """Train the generic page of this kind of data, and return the model: `fit(x, y).predict(new)`.

    x: a pandas DataFrame or an Arrow table, f[n, k], a list of n texts, or pictures u8[n, H, W] or [n, H, W, C].
    y: n classes (names or numbers) or numbers, or the name of the column of x that holds them.
    workdir: the run folder; by default one of runs/ for this very data and these knobs, so that the same call returns
    the same model, and goes on where it was stopped. page: `table`, `text` or `image`, where the kind is not plain.
    writers: take the metrics, as in `train`.
    knobs: of the page, as `epochs=50`. The generic pages hold out a tenth of the rows each for validation and test.
    """
    kind, records, target = _records(x, y, page)
    with supplied(records):
        made = maker(kind)(dataset=IN_MEMORY, target=target, **knobs)
    digest = digest_of(finite(made.identity(), str))[:10]
    folder = Path(workdir) if workdir else Path("runs") / f"fit,{kind},{digest}"
    train(made, folder, writers=writers, log=log)
    return restore(folder, experiment=made)


def _records(x: Any, y: Any, page: str) -> tuple[str, Records, str]:
    """Return the page for this kind of data, its records and the column of the target."""
    if isinstance(x, Sequence) and all(isinstance(text, str) for text in x):
        return page or "text", as_records(_frame({"text": list(x), "label": _target(x, y)}), name=IN_MEMORY), "label"
    array = None if hasattr(x, "columns") or hasattr(x, "column_names") else np.asarray(x)
    if array is None:
        if isinstance(y, str):
            return page or "table", as_records(x, name=IN_MEMORY), y
        frame = x.to_pandas() if hasattr(x, "to_pandas") else x
        if "y" in frame.columns:
            raise UserError("x has a column 'y' already; give fit(x, 'y'), or rename it")
        return page or "table", as_records(frame.assign(y=_target(x, y)), name=IN_MEMORY), "y"
    if array.ndim in (3, 4) and array.dtype == np.uint8:
        return page or "image", in_memory(array, _target(array, y)), "label"
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UserError(
            f"x is {array.dtype} of shape {array.shape}; give a DataFrame, numbers [n, k], a list of texts or bytes of "
            "pictures [n, H, W, C], or fdl.data.arrays(x, y) with a model of your own"
        )
    return page or "table", as_records(frame_of_array(array).assign(y=_target(array, y)), name=IN_MEMORY), "y"


def _target(x: Any, y: Any) -> Any:
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != len(x):
        raise UserError(f"y has the shape {values.shape} and x {len(x)} rows; give a class or a number for each row")
    return values


def _frame(columns: dict[str, Any]) -> Any:
    import pandas

    return pandas.DataFrame(columns)
