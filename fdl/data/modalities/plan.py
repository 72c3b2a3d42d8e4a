"""The plan of a table's columns: what each is taken for, fitted on train alone, said aloud, kept, and used again.

The plan is the only encoder: training, evaluation and new data go through `Plan.encode`.

Shape legend: B batch, K numbers per row, C categorical columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from fdl.data.readers.tables.cells import Texts
from fdl.data.records import Column, is_missing

Role = Literal["number", "date", "category", "target", "left out"]
PARTS = ("month", "weekday", "hour")
_SHOWN = 40  # columns that are said one by one
_LONG = 24  # letters of a value that are shown


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """What one column is taken for.

    why:     of a column that is left out; else how it was read, where that is worth a word.
    missing: the share of train's rows that have no value. seen: their range, or examples.
    fitted:  of a number `mean`, `scale` (a list each, for arrays flattened) and `hole`, whether train misses any; of a
             category its `values`; of a date what a number has, in days, and the values of `month`, `weekday`, `hour`
             where they differ.
    """

    name: str
    role: Role
    why: str = ""
    missing: float = 0.0
    seen: str = ""
    fitted: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The columns of a table as inputs of a model.

    notes:  what was decided about the whole, a line each. target: how the target is taken, in one line.
    schema: how a new file is read the same way, see `Records.schema`.
    """

    columns: tuple[ColumnPlan, ...]
    notes: tuple[str, ...] = ()
    target: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[str]:
        """The columns that are learned from."""
        return [column.name for column in self.columns if column.role in ("number", "date", "category")]

    @property
    def width(self) -> int:
        """K: how many numbers a row becomes, with one for each column that misses some in train."""
        return sum(len(column.fitted["mean"]) + sum(column.fitted["hole"]) for column in self._numeric())

    @property
    def categories(self) -> tuple[int, ...]:
        """How many values each categorical column has, with 0 for what is missing or was never seen in train."""
        return tuple(1 + len(values) for _, _, values in self._categorical())

    def encode(self, rows: Mapping[str, Column]) -> Any:
        """Return inputs f32[B, K], or `{"inputs": f32[B, K], "categories": i32[B, C]}` where there are categories."""
        return self.encode_counted(rows)[0]

    def encode_counted(self, rows: Mapping[str, Column]) -> tuple[Any, dict[str, dict[str, int]]]:
        """Return `encode`, and of each column how many of its values are missing or were never seen in train."""
        counted: dict[str, dict[str, int]] = {}
        numbers, holes = [], []
        for column in self._numeric():
            values = _numeric(column, rows[column.name])
            gone = np.isnan(values)
            scaled = (values - np.array(column.fitted["mean"])) / np.array(column.fitted["scale"])
            numbers.append(np.where(gone, 0.0, scaled))
            holes.append(gone[:, np.array(column.fitted["hole"], bool)])
            if gone.any():
                counted[column.name] = {"missing": int(gone.any(1).sum())}
        count = len(next(iter(rows.values())))
        whole = np.concatenate([np.zeros((count, 0)), *numbers, *holes], axis=1).astype(np.float32)
        if not self.categories:
            return whole, counted
        codes = []
        for name, part, known in self._categorical():
            codes.append(_codes(rows[name], part, known))
            gone = is_missing(rows[name])
            unseen = int(((codes[-1] == 0) & ~gone).sum())
            if not part and (gone.any() or unseen):
                counted[name] = {"missing": int(gone.sum()), "unseen": unseen}
        return {"inputs": whole, "categories": np.stack(codes, axis=1)}, counted

    def decode(self, inputs: Any) -> list[dict[str, str]]:
        """Return the values by column of rows that `encode` gave, as text; what was missing has none."""
        categories = self.categories
        numbers = np.asarray(inputs["inputs"] if categories else inputs, np.float64)
        rows: list[dict[str, str]] = [{} for _ in numbers]
        place, hole = 0, sum(len(column.fitted["mean"]) for column in self._numeric())
        for column in self._numeric():
            size, holes = len(column.fitted["mean"]), np.array(column.fitted["hole"], bool)
            scale, mean = (np.array(column.fitted[each]) for each in ("scale", "mean"))
            values = (numbers[:, place : place + size] * scale + mean).tolist()
            gone: list[bool] = np.any(numbers[:, hole : hole + int(holes.sum())], axis=1).tolist()
            written = partial(_written, role=column.role, scale=float(scale.min()))
            place, hole = place + size, hole + int(holes.sum())
            for row, several, missing in zip(rows, values, gone, strict=True):
                row[column.name] = "" if missing else " ".join(map(written, several))
        for i, (name, part, known) in enumerate(self._categorical()):
            for row, code in zip(rows, np.asarray(inputs["categories"])[:, i].tolist(), strict=True):
                if not part:
                    row[name] = name_of(known[code - 1]) if code else ""
        return rows

    def lines(self) -> list[str]:
        """Return what is said before anything trains: the notes, and a line per column."""
        used = len(self.inputs)
        said = [*self.notes, f"{used} of {len(self.columns)} columns are learned from"]
        wide = max((len(column.name) for column in self.columns[:_SHOWN]), default=0)
        for column in self.columns[:_SHOWN]:
            missing = f"{100 * column.missing:.2g} % missing" if column.missing else ""
            parts = [part for part in (missing, column.seen, column.why) if part]
            said.append(f"  {column.name:<{wide}}  {column.role:<8}  {', '.join(parts)}".rstrip())
        if len(self.columns) > _SHOWN:
            said.append(f"  … and {len(self.columns) - _SHOWN} columns more, all in dataset.json")
        return [*said, self.target] if self.target else said

    def as_json(self) -> dict[str, Any]:
        """Return the plan in JSON's types."""
        columns = [{**vars(column), "fitted": dict(column.fitted)} for column in self.columns]
        return {**vars(self), "columns": columns, "notes": list(self.notes), "schema": dict(self.schema)}

    @staticmethod
    def from_json(kept: Mapping[str, Any]) -> "Plan":
        """Return the plan that was kept by `as_json`."""
        columns = tuple(ColumnPlan(**column) for column in kept["columns"])
        return Plan(**{**kept, "columns": columns, "notes": tuple(kept["notes"])})

    def _numeric(self) -> list[ColumnPlan]:
        return [column for column in self.columns if column.role in ("number", "date")]

    def _categorical(self) -> list[tuple[str, str, Sequence[Any]]]:
        """Return of each categorical input its column, which part of a date it is, and its values."""
        plain = [(column.name, "", column.fitted["values"]) for column in self.columns if column.role == "category"]
        dates = [column for column in self.columns if column.role == "date"]
        parts = [
            (column.name, part, column.fitted[part]) for column in dates for part in PARTS if part in column.fitted
        ]
        return [*plain, *parts]


def _written(value: float, role: Role, scale: float) -> str:
    """Return a number that was in 32 bits in units of its scale, or a date of the days since 1970, as text."""
    if role == "date":
        return str(np.datetime64(0, "D") + round(value))
    digits = 5 - math.floor(math.log10(scale))
    return f"{round(value, digits) + 0.0:.6g}"


def days(values: Column) -> np.ndarray:
    """Return f64[n]: the days since 1970 of dates, NaN where there is none."""
    dates = np.asarray(values, "datetime64[us]")
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / 86_400e6)


def date_part(values: Column, part: str) -> np.ndarray:
    """Return i64[n]: the month from 1, the weekday from Monday, 0, or the hour of dates; -1 where there is none."""
    dates = np.asarray(values, "datetime64[us]")
    whole = dates.astype("datetime64[D]")
    if part == "month":
        found = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    elif part == "weekday":
        found = (whole.astype(np.int64) + 3) % 7
    else:
        found = (dates - whole).astype(np.int64) // 3_600_000_000
    return np.where(np.isnat(dates), -1, found)


def numeric(values: Column, *, date: bool = False) -> np.ndarray:
    """Return f64[n, k] of a column of numbers, arrays or dates (in days)."""
    if date:
        return days(values)[:, None]
    return np.asarray(values, np.float64).reshape(len(values), -1)


def named(values: Column) -> tuple[np.ndarray, list[str]]:
    """Return the number i[n] of the name of each value, -1 where it is missing, and the names: 3 and 3.0 have one."""
    if isinstance(values, Texts):
        return values.codes, values.strings
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb" and values.ndim == 1:
        found = np.unique(values[~is_missing(values)])
        places = np.where(is_missing(values), -1, np.searchsorted(found, values))
        return places, [name_of(value) for value in found.tolist()]
    gone = is_missing(values)
    texts = np.array([name_of(value) for value in values], object)
    names, codes = np.unique(texts[~gone].astype(str), return_inverse=True)
    whole = np.full(len(values), -1, np.int64)
    whole[~gone] = codes
    return whole, [str(name) for name in names]


def brief(text: str) -> str:
    """Return a text in one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def name_of(value: Any) -> str:
    """Return a value as the name of a category or class: 3.0 and 3 are one."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numeric(column: ColumnPlan, values: Column) -> np.ndarray:
    return numeric(values, date=column.role == "date")


def _codes(values: Column, part: str, known: Sequence[Any]) -> np.ndarray:
    """Return i32[n]: the number of each value among those known, from 1 on; 0 for others."""
    if part:
        place = {value: number for number, value in enumerate(known, start=1)}
        found, codes = np.unique(date_part(values, part), return_inverse=True)
        return np.array([place.get(int(value), 0) for value in found], np.int32)[codes]
    codes, names = named(values)
    place = {value: number for number, value in enumerate(known, start=1)}
    return np.array([*(place.get(name, 0) for name in names), 0], np.int32)[codes]
