"""Fit data in memory in one call: the generic page of its kind, trained as from the command line."""

import re
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

    x: a pandas DataFrame or an Arrow table, f[n, k], n texts, or pictures u8[n, H, W] or [n, H, W, C].
    y: n classes (names or numbers) or numbers, or the name of the column of x that holds them.
    workdir: the run folder; by default one of runs/ for this very data and these knobs, so that the same call returns
    the same model, and goes on where it was stopped. page: `table`, `text` or `image`, where the kind is not plain.
    writers: take the metrics, as in `train`.
    knobs: of the page, as `epochs=50`. The generic pages hold out a tenth of the rows each for validation and test.
    """
    try:
        kind, records, target = _records(x, y, page)
        with supplied(records):
            made = maker(kind)(dataset=IN_MEMORY, target=target, **knobs)
    except UserError as error:  # of pages, which write for the command line
        raise UserError(_FLAG.sub(_as_keyword, str(error))) from None
    digest = digest_of(finite(made.identity(), str))[:10]
    folder = Path(workdir) if workdir else Path("runs") / f"fit,{kind},{digest}"
    train(made, folder, writers=writers, log=log)
    return restore(folder, experiment=made)


_FLAG = re.compile(r"--([a-z_]+)(?:=([\w.-]*\w))?")


def _as_keyword(flag: "re.Match[str]") -> str:
    """Return a flag of a message as the argument that it is in Python; of the target that is y."""
    name, value = flag[1], flag[2]
    if name == "target" and not value:
        return "y"
    return name if value is None else f"{name}={value}" if value.isdecimal() else f'{name}="{value}"'


def _records(x: Any, y: Any, page: str) -> tuple[str, Records, str]:
    """Return the page for this kind of data, its records and the column of the target."""
    if hasattr(x, "columns") or hasattr(x, "column_names"):
        if isinstance(y, str):
            return page or "table", as_records(x, name=IN_MEMORY), y
        frame = x.to_pandas() if hasattr(x, "to_pandas") else x
        if "y" in frame.columns:
            raise UserError("x has a column 'y' already; give fit(x, 'y'), or rename it")
        return page or "table", as_records(frame.assign(y=_target(x, y)), name=IN_MEMORY), "y"
    array = _array(x)
    texts = array.ndim == 1 and [isinstance(text, str) for text in array]
    if texts and all(texts):
        return (
            page or "text",
            as_records(_frame({"text": list(array), "label": _target(x, y)}), name=IN_MEMORY),
            "label",
        )
    if texts and any(texts):
        row = texts.index(False)
        raise UserError(f"x holds texts, and row {row} is {array[row]!r}; fill it in, or leave the row out of x and y")
    pictures = array.dtype == np.uint8 or page == "image" or array.ndim == 4
    if array.ndim in (3, 4) and array.dtype.kind in "biuf" and pictures:
        return page or "image", in_memory(array, _target(array, y)), "label"
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UserError(f"x is {array.dtype} of shape {array.shape}; {_GIVE}")
    return page or "table", as_records(frame_of_array(array).assign(y=_target(array, y)), name=IN_MEMORY), "y"


_GIVE = (
    "give a DataFrame, numbers [n, k] (x[:, None] of one column, x.reshape(len(x), -1) of more axes), n texts or "
    "pictures [n, H, W, C], or fdl.data.arrays(x, y) with a model of your own"
)


def _array(x: Any) -> np.ndarray:
    """Return x as an array, 16-bit floats that NumPy lacks as 32-bit ones; raise a UserError where it is none."""
    if hasattr(x, "todense") and hasattr(x, "nnz"):
        raise UserError(
            f"x is a sparse {type(x).__name__} of shape {x.shape}; give x.toarray(), where that fits into memory"
        )
    if x is None or isinstance(x, str | bytes | dict | set) or not hasattr(x, "__len__"):
        raise UserError(f"x is a {type(x).__name__}, no rows; {_GIVE}")
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors with gradients or on a GPU
        raise UserError(f"x, a {type(x).__name__}, is no array ({str(error).split('. ')[0]}); {_GIVE}") from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _target(x: Any, y: Any) -> Any:
    """Return y as n values; raise a UserError where it is not one for each row of x."""
    if isinstance(y, str):
        raise UserError(
            f"y is {y!r}, a column's name, and x has no named columns; give the targets, or a DataFrame as x"
        )
    try:
        values = np.asarray(y)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"y, a {type(y).__name__}, is no array ({str(error).split('. ')[0]}); give n values") from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and len(values) == len(x) and values.dtype.kind in "biuf" and _is_one_hot(values):
        raise UserError(f"y is one-hot, of shape {values.shape}; give the classes: y.argmax(1)")
    if values.ndim != 1 or len(values) != len(x):
        raise UserError(f"y has the shape {values.shape} and x {len(x)} rows; give a class or a number for each row")
    return values


def _is_one_hot(values: np.ndarray) -> bool:
    """Say whether each row of [n, K] holds a single 1 and else 0."""
    return bool(np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all())


def _frame(columns: dict[str, Any]) -> Any:
    import pandas

    return pandas.DataFrame(columns)
