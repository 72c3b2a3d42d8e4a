"""Records: rows of named fields from anywhere (TFDS, your own files), before anyone decides what to learn from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import array_digest
from fdl.data.readers.tables.cells import Texts
from fdl.data.split import HOLD_OUT, by_place, rare_classes, split_rows

Kind = Literal["image", "video", "audio", "text", "label", "number", "date", "array", "list", "other"]

FLOAT = np.dtype(np.float32)
_BLOCK = 65_536  # rows that are read together
Column = Sequence[Any] | np.ndarray
Read = Callable[[str, np.ndarray, Sequence[str]], dict[str, Column]]
Ask = Callable[..., dict[str, Column]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """What one column holds.

    kind:     "number" is one number, "array" a fixed number of them, "label" a class, "list" some
              texts or classes, as many as an example has, "other" what cannot be used.
    shape:    of one value, None where it differs between examples.
    classes:  of a label; names: of its classes; rate: samples per second of audio.
    also:     other kinds that the same values may be taken for.
    note:     how the column was read, a phrase; empty where there is nothing to log.
    left_out: why no page learns from this column unless it is named; empty where it does.
    refusal:  the line that ends a run which would use this column; empty where it may be used.
    suspect:  the line that ends a run where a value that stands for a missing one would do harm: in a series.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()
    dtype: np.dtype = FLOAT
    classes: int | None = None
    names: tuple[str, ...] | None = None
    rate: int | None = None
    also: tuple[Kind, ...] = ()
    note: str = ""
    left_out: str = ""
    refusal: str = ""
    suspect: str = ""

    def fits(self, kinds: Sequence[Kind]) -> bool:
        """Say whether the column is, or may be taken for, one of these kinds."""
        return self.kind in kinds or any(kind in kinds for kind in self.also)


@dataclass(frozen=True, kw_only=True)
class Records:
    """Rows of named fields in splits.

    read:        `(split, indices: i64[n], names) -> {name: n values}`; images arrive decoded, text as str.
    supervised:  the (input, target) that the set itself declares.
    fingerprint: changes with the content; costs reading the files once.
    contents:    changes with the content as far as can be seen at once: of files that are large, names and sizes.
    where:       `(split, index) -> file and line`, where a user would look for the example.
    stratified:  whether the classes of all rows may be read, to hold rows out evenly: not where that reads gigabytes.
    notes:       what the reader decided about the whole, a line each: said before anything trains.
    origin:      where the data was copied from, and when, in a line: said as notes are, and no part of any plan.
    schema:      how a new file is to be read the same way: dialect and types, in JSON's types.
    advice:      what else may be wrong where a column is not there.
    on_disk:     whether the rows are read from disk on demand, being too many for memory.
    retyped:     `{column: type} -> the same records` with these columns read as another type ("text" as written).
    in_subprocess: makes another `read` that sends its requests to a separate process (`fdl.data.readers.worker`).
    """

    name: str
    fields: Mapping[str, Field]
    sizes: Mapping[str, int]
    read: Read
    supervised: tuple[str, str] | None = None
    fingerprint: Callable[[], str] = lambda: ""
    contents: Callable[[], str] = lambda: ""
    where: Callable[[str, int], str] | None = None
    stratified: bool = False
    notes: tuple[str, ...] = ()
    origin: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""
    on_disk: bool = False
    retyped: Callable[[Mapping[str, str]], "Records"] | None = None
    in_subprocess: Callable[[Ask], Read] | None = None

    def noting(self, *notes: str) -> "Records":
        """Return the same records with these lines added to what is said of them."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *filter(None, notes)))))

    def column(self, split: str, name: str) -> Column:
        """Return one whole column of a split."""
        if not self.on_disk:
            return self.read(split, np.arange(self.sizes[split]), (name,))[name]
        starts = range(
            0, size := self.sizes[split], _BLOCK
        )  # row numbers of all at once would take as much memory as the column
        parts = [self.read(split, np.arange(at, min(at + _BLOCK, size)), (name,))[name] for at in starts]
        if isinstance(first := parts[0], Texts):
            return Texts(np.concatenate([part.codes for part in parts if isinstance(part, Texts)]), first.words)
        return np.concatenate([np.asarray(part) for part in parts])

    def at(self, split: str, index: int) -> str:
        """Return where an example is to be found, as errors begin."""
        return self.where(split, index) if self.where else f"{self.name} split {split!r} example {index}"

    def choose(self, requested: str, role: str, kinds: Sequence[Kind], *, besides: Sequence[str] = ()) -> str:
        """Return the one field of these kinds that is requested, declared by the set, or the only one there is.

        A column that is left out (row numbers) is never guessed, and one that cannot be vouched for never taken.
        """
        fits = [name for name, field in self.fields.items() if field.fits(kinds) and name not in besides]
        if requested:
            chosen = self._requested(requested, role, kinds, fits, besides)
        elif self.supervised and self.supervised[role == "target"] in fits:
            chosen = self.supervised[role == "target"]
        else:
            plain = [name for name in fits if not self.fields[name].left_out]
            if len(plain) != 1:
                raise UserError(self._not_one(plain, role, kinds))
            chosen = plain[0]
        if self.fields[chosen].refusal:
            raise UserError(self.fields[chosen].refusal)
        return chosen

    def _requested(
        self, requested: str, role: str, kinds: Sequence[Kind], fits: Sequence[str], besides: Sequence[str]
    ) -> str:
        if requested not in self.fields:
            advice = f"; {self.advice}" if self.advice else ""
            raise UserError(
                f"{self.name} has no column {requested!r} for --{role}; its columns are {self._listed()}{advice}"
            )
        if requested not in fits:
            field = self.fields[requested]
            rule = "is already taken" if requested in besides else f"is not {' or '.join(kinds)}"
            way = f"give --{role}={' or '.join(fits)}" if fits else "give another --dataset: this one has none"
            what = f"{field.kind}: {field.left_out}" if field.left_out else field.kind
            raise UserError(f"column {requested!r} of {self.name} ({what}) {rule}; {way}")
        return requested

    def _not_one(self, fits: Sequence[str], role: str, kinds: Sequence[Kind]) -> str:
        if fits:
            return f"{self.name}: several columns fit: {', '.join(fits)}; name one of {self._listed()} with --{role}"
        seen = f"no column is {' or '.join(kinds)}: {self._listed()}"
        return f"{self.name}: {seen}; name one with --{role}, or give another --dataset"

    def _listed(self) -> str:
        listed = [f"{name[:80]}{'…' * (len(name) > 80)} ({field.kind})" for name, field in self.fields.items()]
        return ", ".join(listed[:20]) + f", … ({len(listed)} columns)" * (len(listed) > 20)


def keep_rows(records: Records, rows: Mapping[str, np.ndarray]) -> Records:
    """Return the same records with only these rows of the splits that are named, in this order."""

    def kept_of(read: Read) -> Read:
        def kept_read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            return read(split, rows[split][indices] if split in rows else indices, names)

        return kept_read

    def in_subprocess(ask: Ask) -> Read:
        assert records.in_subprocess is not None
        return kept_of(records.in_subprocess(ask))

    def where(split: str, index: int) -> str:
        return records.at(split, int(rows[split][index]) if split in rows else index)

    return replace(
        records,
        sizes={split: len(rows[split]) if split in rows else size for split, size in records.sizes.items()},
        read=kept_of(records.read),
        in_subprocess=in_subprocess if records.in_subprocess else None,
        where=where if records.where else None,
        fingerprint=lambda: f"{records.fingerprint()} {array_digest(rows.values())}",  # other rows are another set
    )


def drop_missing(records: Records, columns: Sequence[str], missing: Literal["refuse", "drop"] = "refuse") -> Records:
    """Return the records without the rows in which one of these columns is missing, counted in `notes`; or refuse."""
    kept: dict[str, np.ndarray] = {}
    notes = []
    for split, size in records.sizes.items():
        for name in columns:
            gone = is_missing(records.column(split, name))
            if not gone.any():
                continue
            count = int(gone.sum())
            if missing == "refuse":
                raise UserError(
                    f"{records.at(split, int(np.argmax(gone)))}: {name} is missing, in {count} of {size} rows of "
                    f"{split}; fill it in, or leave such rows out with --missing=drop"
                )
            notes.append(f"{count} of {size} rows of {split} are left out: {name} is missing")
            kept[split] = kept.get(split, np.ones(size, bool)) & ~gone
    whole = {split: np.flatnonzero(mask) for split, mask in kept.items()}
    return replace(keep_rows(records, whole), notes=(*records.notes, *notes)) if kept else records


def is_missing(column: Column) -> np.ndarray:
    """Return bool[n]: where a column has no value: None, NaN, NaT or an empty text."""
    if isinstance(column, Texts):
        return column.codes < 0
    if isinstance(column, np.ndarray) and column.dtype.kind != "O":
        flat = column.reshape(len(column), -1)
        if column.dtype.kind in "fM":
            result: np.ndarray = np.any(np.isnat(flat) if column.dtype.kind == "M" else np.isnan(flat), axis=1)
            return result
        return np.any(flat == "", axis=1) if column.dtype.kind == "U" else np.zeros(len(column), bool)
    return np.array([_is_missing(value) for value in column], bool)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, float) and value != value)


def _numbered(labels: Column | None) -> np.ndarray | None:
    """Return the number of each row's class, the classes sorted by name."""
    if labels is None:
        return None
    if isinstance(labels, Texts):
        place = np.argsort(np.argsort(labels.strings, kind="stable")) + 1
        few = np.min_scalar_type(len(place))  # 8 bits do, where millions of rows have a class each
        result: np.ndarray | None = np.append(place, 0).astype(few)[labels.codes]
        return result
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        different = np.unique(labels)
        place = np.argsort(np.argsort(different.astype(str), kind="stable"))
        return place[np.searchsorted(different, labels)]  # the same, without millions of texts
    return np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1]


def complete(
    records: Records,
    *,
    seed: int = 0,
    labels: Column | None = None,
    held_out: Mapping[str, float] = HOLD_OUT,
) -> Records:
    """Return the same records with the splits train, validation and test, carved out of train where they lack.

    labels: the class of each training row, to spread the classes evenly. held_out: the share of each that lacks.
    """
    for split, size in records.sizes.items():
        if size == 0:
            raise UserError(f"split {split!r} of {records.name} is empty; give it examples or leave it out")
    if "train" not in records.sizes:
        have = ", ".join(records.sizes)
        raise UserError(f"{records.name} has no split 'train' but {have}; name one with --train, as in --train={have}")
    missing = {name: share for name, share in held_out.items() if name not in records.sizes}
    if not missing:
        return records
    size = records.sizes["train"]
    if size < 1 + 2 * len(missing):
        raise UserError(
            f"{records.name} has {size} training examples, too few to hold some out for {' and '.join(missing)}"
        )
    share = {name: max(part, 1 / size) for name, part in missing.items()}
    numbers = _numbered(labels)
    rows = split_rows(size, seed=seed, labels=numbers, held_out=share)
    if labels is not None and numbers is not None:
        records = records.noting(rare_classes(labels, numbers, rows))
    kept, dtype = by_place(rows), rows["train"].dtype

    def complete_of(read: Read) -> Read:
        def complete_read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            return read("train", kept[split][indices], names) if split in kept else read(split, indices, names)

        return complete_read

    def complete_in_subprocess(ask: Ask) -> Read:
        assert records.in_subprocess is not None
        return complete_of(records.in_subprocess(ask))

    def where(split: str, index: int) -> str:
        return records.at("train", int(kept[split][index])) if split in kept else records.at(split, index)

    def chosen() -> str:
        return array_digest(kept[split][np.arange(sizes[split])].astype(dtype) for split in kept)

    sizes = {**records.sizes, **{name: len(index) for name, index in rows.items()}}
    return replace(
        records,
        sizes=sizes,
        read=complete_of(records.read),
        in_subprocess=complete_in_subprocess if records.in_subprocess else None,
        where=where if records.where else None,
        fingerprint=lambda: f"{records.fingerprint()} {chosen()}",  # other rows are another set
    )
