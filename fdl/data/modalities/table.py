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

_LOGS, _SKEWED, _FOLDS, _GAIN = "logs", 1.0, 5, 0.03
_MOST_JUDGED, _FEW_VALUES = 20_000, 50  # rows by which logarithms are judged; values of their categories, at most
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


def in_logs(dataset: Dataset, logs: Literal["auto", "true", "false"] = "auto") -> Dataset:
    """Return a table whose number is to be learned as its logarithm (`spec.logs`), if asked for or where it is better.

    It is better, by "auto", where all numbers of train are positive and skewed to the right, and ridge regression of
    their logarithms predicts held-out rows of train with an RMSE, in the unit of the target, 3 % below that of the
    numbers. `center` and `scale` of the spec are then those of the logarithms. What was decided is kept as `fitted`.
    """
    spec = dataset.spec
    if _LOGS in dataset.fitted or (spec.classes and logs == "auto"):
        return dataset
    decided = replace(dataset, fitted={**dataset.fitted, _LOGS: False})
    if logs == "false":
        return decided
    examples = dataset.examples("train", _MOST_JUDGED)
    values = np.asarray(examples.targets, np.float64)
    if spec.classes or spec.targets.shape or spec.offset or not values.min() > 0:
        seen = f"has {values.min() + spec.offset:g} in train" if not spec.classes else f"has {spec.classes} classes"
        if logs == "true":
            raise UserError(f"the target of {dataset.name} {seen} and no logarithm to learn; leave out --log_target")
        return decided
    why = "as asked for"
    if logs == "auto":
        if not float((((values - values.mean()) / values.std()) ** 3).mean()) > _SKEWED:
            return decided
        x = _numbers(examples.inputs, spec.categories)
        gain = 1 - _held_out(x, np.log(values), np.exp, values) / _held_out(x, values, np.asarray, values)
        if not gain > _GAIN:
            return decided
        why = f"ridge regression of it errs {100 * gain:.2g} % less on held-out rows of train"
    center, scale = float(np.log(values).mean()), float(np.log(values).std())
    note = f"the target is learned as its logarithm: {why}; --log_target=false for the number itself"
    return replace(
        dataset,
        spec=replace(spec, center=center, scale=scale, logs=True),
        fitted={**dataset.fitted, _LOGS: True, "center": center, "scale": scale},
        notes=(*dataset.notes, note),
    )


def _numbers(inputs: Any, categories: Sequence[int]) -> np.ndarray:
    """Return f64[n, d]: the numbers, and one-hot the categories of few values."""
    if not categories:
        return np.asarray(inputs, np.float64).reshape(len(inputs), -1)
    codes = zip(np.asarray(inputs["categories"]).T, categories, strict=True)
    one_hot = [np.eye(count)[column] for column, count in codes if count <= _FEW_VALUES]
    return np.concatenate([np.asarray(inputs["inputs"], np.float64), *one_hot], axis=1)


def _held_out(x: np.ndarray, y: np.ndarray, back: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray) -> float:
    """Return the RMSE of ridge regression over five folds; back: from predictions of y to those of what is wanted."""
    fold, squares = np.random.default_rng(0).permutation(len(y)) % _FOLDS, 0.0
    for held in range(_FOLDS):
        rest = fold != held
        deviation = x[rest].std(0)
        scaled = (x - x[rest].mean(0)) / np.where(deviation > 0, deviation, 1.0)
        gram = scaled[rest].T @ scaled[rest] + np.eye(x.shape[1])
        weights = np.linalg.solve(gram, scaled[rest].T @ (y[rest] - y[rest].mean()))
        with np.errstate(over="ignore"):  # it is infinitely wrong then
            squares += float(((back(y[rest].mean() + scaled[~rest] @ weights) - wanted[~rest]) ** 2).sum())
    return float(np.sqrt(squares / len(y)))


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
