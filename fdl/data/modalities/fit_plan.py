"""Fit the plan of a table: one pass over train, a block of rows at a time, so that a table need not fit in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import count_each
from fdl.data.modalities.plan import PARTS, ColumnPlan, Plan, brief, date_part, named, numeric
from fdl.data.readers.tables.cells import Texts, Words
from fdl.data.records import Column, Field, Kind, Records

LEARNED: tuple[Kind, ...] = ("number", "date", "array", "text", "label")
BLOCK = 65_536  # rows that are looked at together; the same for every kind of file, so that the sums are
_RARE = 1000  # values of a category that get a number each: the most frequent
_NAMES = 100  # more different texts than these, each for less than two rows, name rows and sort none


def fit_plan(
    records: Records,
    *,
    inputs: Sequence[str],
    target: str,
    seen: str,
    said: str,
    blocks: Iterable[Mapping[str, Column]],
) -> Plan:
    """Return the plan of the columns.

    inputs: those to learn from, all that are of use where empty. target: the column to predict; seen: what it holds;
    said: how it is taken, one line. blocks: the rows of train, in order; every column that may be learned from.
    """
    requested = tuple(inputs)
    used = candidates(records, requested, target)
    fits = {name: _fit_of(records.fields[name]) for name in used}
    for rows in blocks:
        for name, fit in fits.items():
            fit.update(rows[name])
    columns = []
    for name, what in records.fields.items():
        if name == target:
            columns.append(ColumnPlan(name=name, role="target", seen=seen, why=what.note))
        elif name in fits:
            why = ", ".join(filter(None, (what.note, what.left_out)))
            columns.append(fits[name].plan(name, why, requested=name in requested))
        else:
            columns.append(ColumnPlan(name=name, role="left out", why=_why_not(what, bool(requested))))
    plan = Plan(columns=tuple(columns), notes=records.notes, target=said, schema=records.schema)
    if not plan.inputs:
        out = [f"{column.name} ({column.why})" for column in columns if column.role == "left out"]
        shown = ", ".join(out[:3]) + ", …" * (len(out) > 3)
        why = f": {shown} left out" if out else ""
        raise UserError(f"{records.name} has no column to learn from besides {target}{why}; name some with --inputs")
    return plan


def candidates(records: Records, inputs: Sequence[str], target: str) -> list[str]:
    """Return the columns that may be learned from: those named, or all but the target that are not left out.

    Row numbers are learned from where there is nothing else.
    """
    for i, name in enumerate(inputs):
        records.choose(name, "inputs", LEARNED, besides=(target, *inputs[:i]))
    if inputs:
        return [name for name in records.fields if name in inputs]
    others = {name: what for name, what in records.fields.items() if name != target and _usable(what)}
    usable = {name: what for name, what in others.items() if not what.left_out} or others
    for what in usable.values():
        if what.refusal:
            raise UserError(what.refusal)
    return list(usable)


def _usable(what: Field) -> bool:
    return what.fits(LEARNED) and None not in what.shape


def _why_not(what: Field, requested: bool) -> str:
    if what.left_out:
        return what.left_out
    if requested and what.fits(LEARNED):
        return "not in --inputs"
    return f"holds {what.kind}" if what.kind != "other" else "of no kind that is learned from"


@dataclass
class _Numbers:
    """The moments of numbers, merged block by block (Chan, Golub and LeVeque 1979)."""

    date: bool = False
    rows: int = 0
    count: Any = 0
    mean: Any = 0.0
    squares: Any = 0.0
    least: Any = np.inf
    most: Any = -np.inf
    parts: dict[str, set[int]] = field(default_factory=lambda: {part: set() for part in PARTS})

    def update(self, values: Column) -> None:
        block = numeric(values, date=self.date)
        gone = ~np.isfinite(block)  # what is infinite is named when it is encoded
        count = (~gone).sum(0)
        mean = np.where(gone, 0.0, block).sum(0) / np.maximum(count, 1)
        total = self.count + count
        ahead = mean - self.mean
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond 32 bits, which are named when encoded
            squares = (np.where(gone, 0.0, block - mean) ** 2).sum(0)
            self.squares = self.squares + squares + ahead**2 * (self.count * count / np.maximum(total, 1))
        self.mean = self.mean + ahead * (count / np.maximum(total, 1))
        self.rows, self.count = self.rows + len(block), total
        self.least = np.fmin(self.least, np.fmin.reduce(block))
        self.most = np.fmax(self.most, np.fmax.reduce(block))
        if self.date:
            for part, found in self.parts.items():
                found.update(np.unique(date_part(values, part)).tolist())

    def plan(self, name: str, note: str, *, requested: bool) -> ColumnPlan:
        holes = self.count < self.rows
        missing = 1 - float(self.count.min()) / self.rows
        if not self.count.any():
            return ColumnPlan(name=name, role="left out", why="empty in train", missing=1.0)
        constant = self.least == self.most
        if constant.all() and not holes.any() and not requested:
            return ColumnPlan(name=name, role="left out", why=f"constant: {self._shown(self.least[0])}")
        scale = np.where(constant | ~(self.squares > 0), 1.0, np.sqrt(self.squares / np.maximum(self.count, 1)))
        fitted: dict[str, Any] = {"mean": self.mean.tolist(), "scale": scale.tolist(), "hole": holes.tolist()}
        for part, found in self.parts.items() if self.date else ():
            kept = sorted(found - {-1})
            if len(kept) > 1:
                fitted[part] = kept
        wide = f", {len(self.mean)} numbers each" if len(self.mean) > 1 else ""
        seen = f"{self._shown(np.nanmin(self.least))} to {self._shown(np.nanmax(self.most))}{wide}"
        role = "date" if self.date else "number"
        return ColumnPlan(name=name, role=role, why=note, missing=missing, seen=seen, fitted=fitted)  # type: ignore[arg-type]

    def _shown(self, value: float) -> str:
        return (
            f"{value:.6g}" if not self.date else str(np.datetime64(round(value * 86_400), "s")).replace("T00:00:00", "")
        )


@dataclass
class _Categories:
    """How often each text occurs."""

    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    words: Words | None = None  # of the blocks so far, counted by number in `coded`
    coded: Any = 0
    names: list[str] = field(default_factory=list)

    def update(self, values: Column) -> None:
        codes, names = named(values)
        self.rows += len(values)
        counts = count_each(codes, len(names))
        words = values.words if isinstance(values, Texts) else Words(None)
        if words is not self.words:
            self._gather()
            self.words, self.coded, self.names = words, 0, names
        self.coded = self.coded + counts

    def _gather(self) -> None:
        """Add what was counted by number to what is counted by name."""
        for place in np.flatnonzero(self.coded) if self.words is not None else ():
            self.counts[self.names[place]] = self.counts.get(self.names[place], 0) + int(self.coded[place])
        self.words = None

    def plan(self, name: str, note: str, *, requested: bool) -> ColumnPlan:
        self._gather()
        present, different = sum(self.counts.values()), len(self.counts)
        missing = 1 - present / self.rows
        why = ""
        if not different:
            return ColumnPlan(name=name, role="left out", why="empty in train", missing=1.0)
        if different == 1 and present == self.rows:
            why = f"constant: {brief(next(iter(self.counts)))}"
        elif (different > _NAMES and 2 * different > present) or (different == present > 8):
            why = f"{different} different texts in {present} rows"
        if why and not requested:
            return ColumnPlan(name=name, role="left out", why=", ".join(filter(None, (why, note))), missing=missing)
        common = sorted(sorted(self.counts), key=lambda text: -self.counts[text])[:_RARE]
        rest = f", of which {_RARE} are distinguished" if different > _RARE else ""
        shown = ", ".join(brief(text) for text in sorted(common)[:3])
        seen = f"{different} values{rest}: {shown}{', …' * (different > 3)}"
        fitted = {"values": sorted(common)}
        return ColumnPlan(name=name, role="category", why=note, missing=missing, seen=seen, fitted=fitted)


def _fit_of(what: Field) -> _Numbers | _Categories:
    if what.kind == "date":
        return _Numbers(date=True)
    return _Numbers() if what.fits(("number", "array")) and what.dtype.kind in "fiub" else _Categories()
