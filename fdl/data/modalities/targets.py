"""Targets: what is to be predicted, worked out from a column's declaration or, where that says nothing, from train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

from fdl.core.types import PyTree
from fdl.data.dataset import Spec
from fdl.data.records import Column, Field, Kind, Records

Goal = Literal["auto", "classify", "regress"]
TARGETS: tuple[Kind, ...] = ("label", "number", "text", "array")
MOST_CLASSES = 1000
_FEW = 100


@dataclass(frozen=True, kw_only=True)
class Target:
    """A column as targets of a batch.

    encode: `(values, split, indices) -> array[n, ...]`; raises on a value that cannot be a target, saying where it is.
    center, scale: of a number, over train.
    """

    name: str
    shape: jax.ShapeDtypeStruct
    encode: Callable[[Column, str, np.ndarray], np.ndarray]
    classes: int | None = None
    names: tuple[str, ...] | None = None
    center: float = 0.0
    scale: float = 1.0
    fitted: dict[str, Any] = field(default_factory=dict)

    def spec(
        self,
        inputs: PyTree,
        sizes: Mapping[str, int],
        *,
        categories: tuple[int, ...] = (),
        vocabulary: int | None = None,
    ) -> Spec:
        """Return the spec of a set with these inputs, and this column as its targets."""
        return Spec(
            inputs=inputs,
            targets=self.shape,
            sizes=sizes,
            classes=self.classes,
            names=self.names,
            center=self.center,
            scale=self.scale,
            categories=categories,
            vocabulary=vocabulary,
        )


def fit_target(records: Records, name: str, goal: Goal = "auto") -> Target:
    """Return the column `name` as a target: classes if it is a label, text or few whole numbers, else numbers."""
    column = records.fields[name]
    if column.kind == "label" and column.classes and goal != "regress":
        return _declared(records, name, column)
    if column.kind == "array":
        if goal == "classify" or None in column.shape:
            raise ValueError(
                f"column {name!r} of {records.name} holds {column.shape} numbers each; no class can be made of it"
            )
        return _numbers(records, name, column)
    values = records.column("train", name)
    if column.kind == "number" and goal != "classify" and (goal == "regress" or not _few(values, column)):
        return _numbers(records, name, column)
    if goal == "regress":
        raise ValueError(f"column {name!r} of {records.name} holds {column.kind}, not numbers; give --goal=classify")
    return _fitted(records, name, values)


def _few(values: Column, column: Field) -> bool:
    """Say whether these numbers are rather names of classes: whole, few, and each seen more than once."""
    if column.dtype.kind == "f":
        return False
    distinct = len({value for value in values if not missing(value)})
    return distinct <= _FEW and 2 * distinct <= max(len(values), 4)


def missing(value: Any) -> bool:
    """Say whether a value stands for nothing: None, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _declared(records: Records, name: str, column: Field) -> Target:
    classes = column.classes or 0
    _two_or_more(records, name, classes)

    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        labels = np.asarray(values, np.int64)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise ValueError(
                f"{records.at(split, indices[wrong[0]])}: {name} is {labels[wrong[0]]}, "
                f"outside [0, {classes}); leave such examples out"
            )
        return labels.astype(np.int32)

    shape = jax.ShapeDtypeStruct((), np.int32)
    return Target(name=name, shape=shape, encode=encode, classes=classes, names=column.names)


def _fitted(records: Records, name: str, values: Column) -> Target:
    known = sorted({_text(value) for value in values if not missing(value)}, key=_natural)
    _two_or_more(records, name, len(known))
    if len(known) > MOST_CLASSES:
        raise ValueError(
            f"column {name!r} of {records.name} has {len(known)} values in train, over {MOST_CLASSES} classes; "
            "give another --target or --goal=regress"
        )
    number = {value: i for i, value in enumerate(known)}

    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        for value, index in zip(values, indices, strict=True):
            if missing(value) or _text(value) not in number:
                seen = "missing" if missing(value) else f"{_text(value)!r}, which train does not have"
                raise ValueError(f"{records.at(split, index)}: {name} is {seen}; leave such examples out")
        return np.array([number[_text(value)] for value in values], np.int32)

    shape = jax.ShapeDtypeStruct((), np.int32)
    fitted = {"target": name, "classes": known}
    return Target(name=name, shape=shape, encode=encode, classes=len(known), names=tuple(known), fitted=fitted)


def _numbers(records: Records, name: str, column: Field) -> Target:
    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # it is infinite then, and named
            numbers = np.asarray(values, np.float32)
        wrong = np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(1))
        if len(wrong):
            raise ValueError(
                f"{records.at(split, indices[wrong[0]])}: {name} is {numbers[wrong[0]]}, not "
                "finite; leave such examples out"
            )
        return numbers

    train = np.asarray(records.column("train", name), np.float64)
    train = train[np.abs(train) <= np.finfo(np.float32).max]  # what is not finite is named when it is read
    center, scale = (float(train.mean()), float(train.std()) or 1.0) if len(train) else (0.0, 1.0)
    shape = jax.ShapeDtypeStruct(tuple(int(size or 0) for size in column.shape), np.float32)
    fitted = {"target": name, "center": center, "scale": scale}
    return Target(name=name, shape=shape, encode=encode, center=center, scale=scale, fitted=fitted)


def _two_or_more(records: Records, name: str, classes: int) -> None:
    if classes < 2:
        raise ValueError(
            f"column {name!r} of {records.name} has {classes} class: nothing to learn; give another --target"
        )


def _text(value: Any) -> str:
    """Return a value as the name of its class: 3.0 and 3 are one."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _natural(text: str) -> tuple[int, float, str]:
    """Sort numbers by size before words by letter."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
