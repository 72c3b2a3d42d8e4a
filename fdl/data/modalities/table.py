"""Tables: mixed columns with missing values as one row of numbers and one of category numbers per example.

Scales and vocabularies are fitted on the training split alone and kept in `Dataset.fitted`, hence in the run folder.

Shape legend: B batch, K numbers per row, C categorical columns.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import numpy as np

from fdl.data.dataset import Dataset, Source, columns, dataset_of
from fdl.data.modalities.standardise import standardisation
from fdl.data.modalities.targets import TARGETS, Goal, fit_target, missing
from fdl.data.records import Column, Records, complete
from fdl.data.split import pick

_RARE = 1000


def table(
    records: Records, *, inputs: Sequence[str] = (), target: str = "", goal: Goal = "auto", seed: int = 0
) -> Dataset:
    """Return rows with a class or a number each: inputs f32[B, K], or a mapping where there are categories.

    inputs: the columns to learn from; all usable ones but the target where empty.
    The mapping is `{"inputs": f32[B, K], "categories": i32[B, C]}`: a category's 0 is "missing or never seen in train",
    and `spec.categories` says how many values each column has. Numbers are standardised, what is missing becomes the
    mean, and a column with missing values in train gets a second one that says where.
    """
    goal_column = records.choose(target, "target", TARGETS)
    for i, name in enumerate(inputs):
        records.choose(name, "inputs", ("number", "array", "text", "label"), besides=(goal_column, *inputs[:i]))
    used = list(inputs) or [
        name
        for name, field in records.fields.items()
        if field.kind in ("number", "array", "text", "label") and name != goal_column
    ]
    labels = None
    if goal != "regress" and records.fields[goal_column].kind in ("label", "text"):
        labels = records.column("train", goal_column)
    records = complete(records, seed=seed, labels=labels)
    target_of = fit_target(records, goal_column, goal)

    def finite(numbers: np.ndarray, split: str) -> np.ndarray:
        endless = np.argwhere(np.abs(numbers) > np.finfo(np.float32).max)
        if len(endless):
            row, column = endless[0]
            raise ValueError(
                f"{records.at(split, row)}: {numbers[row, column]} is not finite in 32 bits; leave it empty"
            )
        return numbers

    train = records.read("train", np.arange(records.sizes["train"]), used)
    numeric = [name for name in used if records.fields[name].kind in ("number", "array") and _is_numeric(records, name)]
    vocabularies = {
        name: known for name in used if name not in numeric and (known := _vocabulary(train[name])) is not None
    }
    if not numeric and not vocabularies:
        raise ValueError(f"{records.name} has no column to learn from besides {goal_column}; give --inputs")
    block = finite(_numbers(train, numeric), "train")
    mean, scale = standardisation(block)
    holes = np.isnan(block).any(0)
    width = block.shape[1] + int(holes.sum())

    def encode(rows: dict[str, Column], split: str) -> Any:
        numbers = (finite(_numbers(rows, numeric), split) - mean) / scale
        gone = np.isnan(numbers)
        whole = np.concatenate([np.where(gone, 0.0, numbers), gone[:, holes]], axis=1).astype(np.float32)
        if not vocabularies:
            return whole
        codes = [[known.get(_name(value), 0) for value in rows[name]] for name, known in vocabularies.items()]
        return {"inputs": whole, "categories": np.array(codes, np.int32).T}

    @cache
    def sources() -> dict[str, Source]:
        made = {}
        for split, size in records.sizes.items():
            index = np.arange(size)
            rows = records.read(split, index, [*numeric, *vocabularies, goal_column])
            made[split] = columns(encode(rows, split), target_of.encode(rows[goal_column], split, index))
        return made

    whole = jax.ShapeDtypeStruct((width,), np.float32)
    codes = jax.ShapeDtypeStruct((len(vocabularies),), np.int32)
    fitted = {
        "target": target_of.fitted or {"target": goal_column, "names": target_of.names},
        "numbers": {"columns": numeric, "mean": mean.tolist(), "scale": scale.tolist(), "holes": holes.tolist()},
        "categories": {name: list(known) for name, known in vocabularies.items()},
    }
    spec = target_of.spec(
        {"inputs": whole, "categories": codes} if vocabularies else whole,
        records.sizes,
        categories=tuple(1 + len(known) for known in vocabularies.values()),
    )
    return dataset_of(records, spec, lambda split: pick(sources(), split), fitted)


def _is_numeric(records: Records, name: str) -> bool:
    field = records.fields[name]
    return field.dtype.kind in "fiub" and None not in field.shape


def _numbers(rows: dict[str, Column], names: Sequence[str]) -> np.ndarray:
    """Return f64[n, K]: the numeric columns side by side."""
    count = len(next(iter(rows.values())))
    blocks = [np.asarray(rows[name], np.float64).reshape(count, -1) for name in names]
    return np.concatenate([np.zeros((count, 0)), *blocks], axis=1)


def _vocabulary(values: Column) -> dict[str, int] | None:
    """Return the number of each value from 1 on, the 1,000 most frequent; None for a column of names."""
    names, counts = np.unique([_name(value) for value in values if not missing(value)], return_counts=True)
    if len(names) == 0 or (len(names) > 100 and 2 * len(names) > len(values)):
        return None
    kept = sorted(names[np.argsort(-counts, kind="stable")[:_RARE]])
    return {str(name): number for number, name in enumerate(kept, start=1)}


def _name(value: Any) -> str:
    return str(value)
