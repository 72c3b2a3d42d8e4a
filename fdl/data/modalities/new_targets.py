"""New data with its targets, as the examples that a trained run is evaluated on: encoded as in training.

Shape legend: n examples.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, LazySource, Source, columns
from fdl.data.modalities.new_examples import NewRows, some_of
from fdl.data.modalities.new_rows import new_rows
from fdl.data.modalities.plan import named
from fdl.data.records import Column, is_missing

NEW = "new"  # the split that new data are


def labelled(dataset: Dataset, data: Any) -> Dataset:
    """Return the dataset with these examples as the split "new"; its notes say what they lack.

    data: as `new_rows` has it, with a column for the target, or files in folders that are named after their classes.
    Raises a UserError where a target is missing, or no class of the run.
    """
    if dataset.spec.targets is None or isinstance(dataset.spec.targets, Mapping) or dataset.spec.targets.shape:
        raise UserError(
            f"{dataset.name} has no single class or number for each example, and new data can be evaluated for those "
            "alone; --mode=predict answers about it"
        )
    rows = new_rows(dataset, data)
    source = columns(rows.inputs, _encoded(dataset, *_target_column(dataset, rows)))
    spec = replace(dataset.spec, sizes={**dataset.spec.sizes, NEW: rows.size})

    def load(split: str) -> Source | LazySource:
        return source if split == NEW else dataset.load(split)

    return replace(dataset, load=load, spec=spec, notes=rows.notes)


def target_name(fitted: Mapping[str, Any]) -> str:
    """Return the name of what is predicted, the target's column; empty where the run knows none."""
    kept = fitted.get("target")
    name = kept.get("target") if isinstance(kept, Mapping) else kept
    return name if isinstance(name, str) else ""


def _target_column(dataset: Dataset, rows: NewRows) -> tuple[str, Column]:
    """Return the target's name and its values in new data."""
    name = target_name(dataset.fitted)
    if name in rows.carried:
        return name, rows.carried[name]
    if list(rows.carried) == ["file"]:
        folders = [Path(file).parent.name for file in rows.carried["file"]]
        if set(folders) <= set(dataset.spec.names or ()):
            return name, folders
        wrong = next(folder for folder in folders if folder not in (dataset.spec.names or ()))
        raise UserError(
            f"a file lies in the folder {wrong}, which is no class of {dataset.name}; give folders that are named "
            "after its classes, or --mode=predict"
        )
    there = ", ".join(rows.carried) or "none"
    raise UserError(
        f"new data is evaluated by its column {name or 'of targets'}, and the columns beside the inputs are {there}; "
        "give it, or --mode=predict, which needs none"
    )


def _encoded(dataset: Dataset, name: str, values: Column) -> np.ndarray:
    """Return i32[n] classes or f32[n] numbers less the offset, as the targets of training are."""
    spec = dataset.spec
    if gone := int(np.sum(is_missing(values))):
        what = f"no {name}" if spec.classes else f"no number as {name}"
        raise UserError(f"{gone:,} of {len(values):,} rows have {what}; leave them out, or give --mode=predict")
    if spec.classes is None:
        try:
            numbers = np.asarray(values, np.float64)
        except ValueError:
            raise UserError(f"{name} holds texts, and {dataset.name} predicts numbers; give numbers") from None
        return (numbers - spec.offset).astype(np.float32)
    codes, texts = named(values)
    number = {text: i for i, text in enumerate(spec.names or map(str, range(spec.classes)))}
    if unseen := [text for text in texts if text not in number]:
        raise UserError(
            f"{name} is {unseen[0]!r} in some row, which is no class of {dataset.name} ({some_of(list(number))}); "
            "leave such rows out"
        )
    classes: np.ndarray = np.array([number[text] for text in texts], np.int32)[codes]
    return classes
