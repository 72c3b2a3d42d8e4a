"""Targets: what is to be predicted, worked out from a column's declaration or, where that says nothing, from train."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.narrow import narrow
from fdl.core.types import PyTree
from fdl.data.dataset import Spec
from fdl.data.modalities.class_marks import is_multi_label, one_hot, same_but_for_case
from fdl.data.modalities.plan import brief, named
from fdl.data.records import Column, Field, Kind, Records, complete, drop_missing, is_missing
from fdl.data.split import HOLD_OUT

Goal = Literal["auto", "classify", "regress"]
TARGETS: tuple[Kind, ...] = ("label", "number", "text", "array")
MOST_CLASSES = 1000
_FEW = 20  # whole numbers that are no 0..N-1 or 1..N are names of classes if there are at most so many
_FAR = 256  # a mean so many deviations from 0 is taken off in 64 bits: 32 hold too few digits beside it


@dataclass(frozen=True, kw_only=True)
class Target:
    """A column as targets of a batch.

    encode: `(values, split, indices) -> array[n, ...]`; raises on a value that cannot be a target, saying where it is.
    center, scale: of a number, over train. offset: what `encode` takes from it.
    seen:   the range or the classes, in words; said: how the column is taken, and the way to the other, in one line.
    """

    name: str
    shape: jax.ShapeDtypeStruct
    encode: Callable[[Column, str, np.ndarray], np.ndarray]
    classes: int | None = None
    names: tuple[str, ...] | None = None
    center: float = 0.0
    scale: float = 1.0
    offset: float = 0.0
    seen: str = ""
    said: str = ""
    fitted: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, Any]:
        """What the run folder keeps of the target: its name, and its classes or its scale."""
        return self.fitted or {"target": self.name, "classes": list(self.names or ())}

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
            offset=self.offset,
            categories=categories,
            vocabulary=vocabulary,
        )


def fit_target(records: Records, name: str, goal: Goal = "auto") -> Target:
    """Return the column `name` as a target: classes or numbers, as `goal` says or `takes_classes` tells."""
    column = records.fields[name]
    if column.kind == "label" and column.classes and goal != "regress":
        return _declared(records, name, column)
    values = flat(records.column("train", name), column)
    if takes_classes(values, column, goal):
        return _classes(records, name, values, column, goal)
    if column.kind == "text":
        raise UserError(f"column {name!r} of {records.name} holds {column.kind}, not numbers; give --goal=classify")
    if goal == "auto" and is_multi_label(values):
        raise UserError(
            f"column {name!r} of {records.name} holds {column.shape[0]} zeros and ones a row, several classes each: "
            "learn them as numbers with --goal=regress, or as classes in a page of your own with fdl.tasks.multi_label"
        )
    if goal == "classify":
        raise UserError(
            f"column {name!r} of {records.name} holds {column.shape} numbers each; no class can be made of it"
        )
    return _numbers(records, name, values, column)


def supervised(
    records: Records, kind: Kind, inputs: str, target: str, goal: Goal, missing: Literal["refuse", "drop"]
) -> tuple[Records, str, str]:
    """Return records in all three splits, the column of inputs of this kind, and that of the target.

    What is held out is spread evenly over the classes where reading them all is cheap.
    """
    column = records.choose(inputs, "inputs", (kind,))
    goal_column = records.choose(target, "target", TARGETS, besides=(column,))
    if missing == "drop":
        records = drop_missing(records, (goal_column,), "drop")
    labels = class_labels(records, goal_column, goal) if records.stratified else None
    return complete(records, labels=labels), column, goal_column


def class_labels(records: Records, name: str, goal: Goal = "auto") -> Column | None:
    """Return the class of each row of train, to spread classes evenly over the splits; None where there are none."""
    if not records.sizes.get("train") or set(HOLD_OUT) <= set(records.sizes):  # nothing is carved out
        return None
    column = records.fields[name]
    values = flat(records.column("train", name), column)
    return values if column.kind == "label" or takes_classes(values, column, goal) else None


def flat(values: Column, column: Field) -> Column:
    """Return targets as one number each where they are, as [n, 1] or one-hot [n, classes] arrays."""
    if column.kind != "array":
        return values
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    return array.argmax(1) if one_hot(array) else array


def takes_classes(values: Column, column: Field, goal: Goal) -> bool:
    """Say whether these targets of train are names of classes.

    Texts and labels are, and whole numbers (3.0 is one) which are all of 0..N-1 or of 1..N, or at most 20 different;
    each for two rows at least, on average.
    """
    if column.kind in ("label", "text") or not isinstance(values, np.ndarray):
        return goal != "regress"
    if values.ndim > 1 or goal != "auto":
        return values.ndim == 1 and goal == "classify"
    found = np.unique(values[~is_missing(values)])
    if (
        not np.isfinite(found).all()
        or not np.array_equal(found, np.round(found))
        or 2 * len(found) > max(len(values), 4)
    ):
        return False
    counted = (
        len(found) <= MOST_CLASSES and len(found) and found[0] in (0, 1) and found[-1] - found[0] + 1 == len(found)
    )
    return bool(counted or len(found) <= _FEW)


def _declared(records: Records, name: str, column: Field) -> Target:
    classes = column.classes or 0
    _two_or_more(records, name, classes)

    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        labels = np.asarray(values, np.int64)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise UserError(
                f"{records.at(split, indices[wrong[0]])}: {name} is {labels[wrong[0]]}, "
                f"outside [0, {classes}); leave such examples out"
            )
        return labels.astype(np.int32)

    return Target(
        name=name,
        shape=jax.ShapeDtypeStruct((), np.int32),
        encode=encode,
        classes=classes,
        names=column.names,
        said=f"target {name}: {classes} classes, as the set declares{_unseen(records, name, column)}",
    )


def _unseen(records: Records, name: str, column: Field) -> str:
    """Say which of the declared classes no training row has, where that is read in no time."""
    if not records.stratified:
        return ""
    seen = np.asarray(records.column("train", name), np.int64)
    absent = np.setdiff1d(np.arange(column.classes or 0), seen)
    names = [str(column.names[number] if column.names else number) for number in absent[:3]]
    listed = ", ".join(names) + ", …" * (len(absent) > 3)
    return f"; train has no row of {len(absent)} ({listed}), which cannot be learned" if len(absent) else ""


def _classes(records: Records, name: str, values: Column, column: Field, goal: Goal) -> Target:
    codes, texts = named(values)
    known = sorted((texts[place] for place in np.unique(codes[codes >= 0])), key=_natural)
    _two_or_more(records, name, len(known))
    if len(known) > MOST_CLASSES:
        raise UserError(
            f"column {name!r} of {records.name} has {len(known)} values in train, over {MOST_CLASSES} classes; "
            "give another --target or --goal=regress"
        )
    if column.kind == "text" and all(re.fullmatch(r"\s*\[.*\]\s*", text) for text in known):
        raise UserError(
            f"column {name!r} of {records.name} holds lists, as {known[0]!r}, and a row has one class; give a --target "
            "with one each"
        )
    number = {text: i for i, text in enumerate(known)}

    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        codes, texts = named(flat(values, column))
        found: np.ndarray = np.array([*(number.get(text, -1) for text in texts), -1], np.int32)[codes]
        wrong = np.flatnonzero(found < 0)
        if len(wrong):
            row = int(wrong[0])
            seen = f"{texts[codes[row]]!r}, which train does not have" if codes[row] >= 0 else "missing"
            way = " with --missing=drop" * bool(codes[row] < 0)
            raise UserError(f"{records.at(split, indices[row])}: {name} is {seen}; leave such examples out{way}")
        return found

    shown = ", ".join(map(brief, known[:3])) + ", …" * (len(known) > 3)
    whole = column.kind == "number" and goal == "auto"
    said = f"{len(known)} whole numbers ({shown}), read as classes; --goal=regress for a number" if whole else ""
    said = said or f"{len(known)} classes ({shown}){same_but_for_case(known)}"
    return Target(
        name=name,
        shape=jax.ShapeDtypeStruct((), np.int32),
        encode=encode,
        classes=len(known),
        names=tuple(known),
        seen=f"{len(known)} classes: {shown}",
        said=f"target {name}: {said}",
        fitted={"target": name, "classes": known},
    )


def _numbers(records: Records, name: str, train: Column, column: Field) -> Target:
    train = np.asarray(train, np.float64)
    shape = train.shape[1:]
    inside = np.abs(train) <= np.finfo(np.float32).max
    finite = train if inside.all() else train[inside]  # what is not finite is named when it is read
    center, scale = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 1.0)
    if len(finite) and finite.min() == finite.max():
        raise UserError(f"column {name!r} of {records.name} is {finite[0]:g} throughout train; give another --target")
    offset = center if abs(center) > _FAR * scale else 0.0
    try:
        narrow(train - offset)  # of several numbers each, one offset may not suit all
    except ValueError as error:
        raise UserError(f"column {name!r} of {records.name}: {error}") from None

    def encode(values: Column, split: str, indices: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # it is infinite then, and named
            numbers = (np.asarray(flat(values, column), np.float64) - offset).astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(1))
        if len(wrong):
            raise UserError(
                f"{records.at(split, indices[wrong[0]])}: {name} is {numbers[wrong[0]]}, not "
                "finite; leave such examples out"
            )
        return numbers

    seen = f"{finite.min():.6g} to {finite.max():.6g}" if len(finite) else ""
    whole = not shape and bool(len(finite)) and bool((finite == np.round(finite)).all())
    what = f"{len(np.unique(finite))} whole numbers" if whole else f"numbers, {seen}"
    way = "; --goal=classify for classes" if whole else ""
    return Target(
        name=name,
        shape=jax.ShapeDtypeStruct(shape, np.float32),
        encode=encode,
        center=center - offset,
        scale=scale or 1.0,
        offset=offset,
        seen=seen,
        said=f"target {name}: {what}, read as a number{'s each' * bool(shape)}{way}",
        fitted={"target": name, "center": center, "scale": scale or 1.0},
    )


def _two_or_more(records: Records, name: str, classes: int) -> None:
    if classes < 2:
        raise UserError(
            f"column {name!r} of {records.name} has {classes} class: nothing to learn; give another --target"
        )


def _natural(text: str) -> tuple[int, float, str]:
    """Sort numbers by size before words by letter."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
