"""Tables: mixed columns with missing values as one row of numbers and one of category numbers per example.

The plan of the columns is fitted on the training split alone and kept in `Dataset.fitted`, hence in the run folder.

Shape legend: B batch, K numbers per row, C categorical columns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, LazySource, Source, columns, dataset_of
from fdl.data.decoded_cache import stored
from fdl.data.modalities.fit_plan import BLOCK, candidates, fit_plan
from fdl.data.modalities.kept import keeps, no_more
from fdl.data.modalities.plan import Plan, numeric
from fdl.data.modalities.targets import TARGETS, Goal, class_labels, fit_target
from fdl.data.readers.memory import as_records
from fdl.data.readers.tables.row_store import release_memory
from fdl.data.records import Column, Records, complete, drop_missing
from fdl.data.split import pick

_PART = 8192  # rows that are encoded together where they are read from disk


@keeps(no_more)
def table(
    data: Any,
    *,
    inputs: Sequence[str] = (),
    target: str = "",
    goal: Goal = "auto",
    missing: Literal["refuse", "drop"] = "refuse",
    roles: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Dataset:
    """Return rows with a class or a number each: inputs f32[B, K], or a mapping where there are categories.

    data: records, a pandas DataFrame, an Arrow table, or a path or name. roles, drop: as the page's flags have them.
    inputs: the columns to learn from; all usable ones but the target where empty. missing: whether rows without a
    target are left out, and counted, or refused.
    The mapping is `{"inputs": f32[B, K], "categories": i32[B, C]}`: a category's 0 is "missing or never seen in train",
    and `spec.categories` says how many values each column has. Numbers are standardised, what is missing becomes the
    mean, and a column with missing values in train gets a second one that says where. Dates become the time that has
    passed, and month, weekday and hour where they differ.
    """
    records = as_records(data, roles=roles, drop=drop)
    goal_column = records.choose(target, "target", TARGETS)
    records = drop_missing(records, (goal_column,), missing)
    records = complete(records, labels=class_labels(records, goal_column, goal))
    target_of = fit_target(records, goal_column, goal)
    used = candidates(records, inputs, goal_column)
    blocks = scan(records, "train", used)
    plan = fit_plan(records, inputs=inputs, target=goal_column, seen=target_of.seen, said=target_of.said, blocks=blocks)

    @cache
    def sources() -> dict[str, Source]:
        made = {}
        for split, size in records.sizes.items():
            index = np.arange(size)
            rows = records.read(split, index, [*plan.inputs, goal_column])
            refuse_infinite(records, plan, rows, split, index)
            made[split] = columns(plan.encode(rows), target_of.encode(rows[goal_column], split, index))
        return made

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        refuse_infinite(records, plan, rows, split, indices)
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(plan.encode(rows), targets, np.ones(len(indices), np.float32))

    def lazy(split: str) -> LazySource:
        key = f"{plan.as_json()} {target_of.fitted}"
        source = stored(records, spec, split, (*plan.inputs, goal_column), join, key=key)
        return replace(source, read=_in_parts(source.read), on_disk=True)

    spec = target_of.spec(_inputs(plan), records.sizes, categories=plan.categories)
    fitted = {"target": target_of.fitted or {"target": goal_column, "names": target_of.names}, "plan": plan.as_json()}
    if records.on_disk:
        release_memory()
    load = lazy if records.on_disk else lambda split: pick(sources(), split)
    made = dataset_of(records, spec, load, fitted)
    return replace(made, notes=tuple(plan.lines()))


def _inputs(plan: Plan) -> Any:
    """Return the shapes of an example's inputs."""
    numbers = jax.ShapeDtypeStruct((plan.width,), np.float32)
    codes = jax.ShapeDtypeStruct((len(plan.categories),), np.int32)
    return {"inputs": numbers, "categories": codes} if plan.categories else numbers


def _in_parts(read: Callable[[np.ndarray], Batch]) -> Callable[[np.ndarray], Batch]:
    """Return the same reading, some rows at a time: on the way to 32 bits they take many times their memory."""

    def read_parts(indices: np.ndarray) -> Batch:
        part = read(indices[:_PART])
        if len(indices) <= _PART:
            return part
        whole: Batch = jax.tree.map(lambda leaf: np.empty((len(indices), *leaf.shape[1:]), leaf.dtype), part)
        for at in range(0, len(indices), _PART):
            part = read(indices[at : at + _PART]) if at else part
            for leaf, rows in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
                leaf[at : at + _PART] = rows
        return whole

    return read_parts


def scan(records: Records, split: str, names: Sequence[str]) -> Iterator[Mapping[str, Column]]:
    """Yield the rows of a split in order, some at a time."""
    for start in range(0, records.sizes[split], BLOCK):
        yield records.read(split, np.arange(start, min(start + BLOCK, records.sizes[split])), names)


def refuse_infinite(records: Records, plan: Plan, rows: Mapping[str, Column], split: str, indices: np.ndarray) -> None:
    """Raise a ValueError where a number is too large for 32 bits."""
    for column in plan.columns:
        if column.role != "number":
            continue
        values = numeric(rows[column.name])
        wrong = np.argwhere(np.abs(values) > np.finfo(np.float32).max)
        if len(wrong):
            row, place = wrong[0]
            where = f"{records.at(split, int(indices[row]))}: {column.name}"
            raise UserError(f"{where} is {values[row, place]}, which is not finite in 32 bits; leave it empty")
