"""Arrays that are in memory as a dataset: inputs as they are, targets as classes or numbers, splits held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.data.dataset import Dataset, Source, columns, dataset_of, shape_of
from fdl.data.fingerprint import array_digest
from fdl.data.modalities.targets import Goal, class_labels, fit_target
from fdl.data.records import Column, Field, Records, complete
from fdl.data.split import pick

Held = float | tuple[PyTree, Any]


def arrays(
    x: PyTree,
    y: Any,
    *,
    validation: Held = 0.1,
    test: Held = 0.1,
    goal: Goal = "auto",
    seed: int = 0,
    name: str = "arrays",
) -> Dataset:
    """Return a dataset of arrays: inputs [n, ...] as they are (64 bits narrowed to 32), and a target for each.

    x: an array or a pytree of arrays [n, ...]; y: [n], [n, 1], one-hot [n, classes], or numbers [n, D], also texts.
    validation, test: the share of the rows that is held out, evenly over the classes, or (x, y) of their own.
    Whole numbers 0..N-1 or 1..N, at most 20 different ones, and texts are classes; `goal` overrules it.
    """
    given: dict[str, tuple[PyTree, Any]] = {"train": (x, y)}
    shares = {}
    for split, held in (("validation", validation), ("test", test)):
        if isinstance(held, tuple):
            given[split] = held
        elif not 0 < held < 1:
            raise UserError(f"{split} is {held}; give a share between 0 and 1, or (x, y)")
        else:
            shares[split] = float(held)
    inputs = {split: jax.tree.map(np.asarray, part) for split, (part, _) in given.items()}
    targets = {split: _column(part) for split, (_, part) in given.items()}
    _refuse_uneven(name, inputs, targets)

    def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        values: Mapping[str, Any] = {"y": targets[split][indices], "row": indices}
        return {column: values[column] for column in names}

    records = Records(
        name=name,
        fields={"y": _field(targets["train"]), "row": Field(kind="number", dtype=np.dtype(np.int64))},
        sizes={split: len(part) for split, part in targets.items()},
        read=read,
        contents=lambda: array_digest(jax.tree.leaves((inputs, targets))),
    )
    own = set(given)
    records = complete(records, seed=seed, labels=class_labels(records, "y", goal), held_out=shares)
    target = fit_target(records, "y", goal)

    def load(split: str) -> Source:
        index = np.arange(pick(records.sizes, split))
        rows = records.read(split, index, ("y", "row"))
        part = inputs[split if split in own else "train"]
        whole = jax.tree.map(lambda leaf: leaf[rows["row"]], part)
        return columns(whole, target.encode(rows["y"], split, index))

    first = columns(jax.tree.map(lambda leaf: leaf[:1], inputs["train"]), np.zeros(1, np.int32)).arrays[0]
    spec = target.spec(jax.tree.map(shape_of, first), records.sizes)
    return dataset_of(records.noting(target.said), spec, load, target.fitted)


def _refuse_uneven(name: str, inputs: Mapping[str, PyTree], targets: Mapping[str, np.ndarray]) -> None:
    """Raise a UserError where x and y differ in length, or x holds something else than numbers."""
    for split, part in inputs.items():
        if any(leaf.ndim == 0 for leaf in jax.tree.leaves(part)):
            raise UserError(f"{name} split {split!r}: x holds single numbers, as a list does; give np.asarray(x)")
        lengths = {len(leaf) for leaf in jax.tree.leaves(part)} | {len(targets[split])}
        if len(lengths) != 1:
            raise UserError(
                f"{name} split {split!r}: x and y have {sorted(lengths)} rows; give the same number of each"
            )
        if any(leaf.dtype.kind not in "biuf" for leaf in jax.tree.leaves(part)):
            raise UserError(f"{name}: x holds no numbers throughout; give mixed columns as fdl.data.table(dataframe)")


def _column(values: Any) -> np.ndarray:
    """Return targets as an array; a DataFrame or Series as its values, False and True as 0 and 1."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    return (
        array.astype(str) if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat) else array
    )


def _field(values: np.ndarray) -> Field:
    if values.dtype.kind in "USO":
        return Field(kind="text", dtype=np.dtype(object))
    return Field(kind="array" if values.ndim > 1 else "number", shape=values.shape[1:], dtype=values.dtype)
