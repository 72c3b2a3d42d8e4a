"""Records: rows of named fields from anywhere (TFDS, your own files), before anyone decides what to learn from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fdl.data.split import HOLD_OUT, split_rows

Kind = Literal["image", "video", "audio", "text", "label", "number", "array", "other"]


FLOAT = np.dtype(np.float32)
Column = Sequence[Any] | np.ndarray
Read = Callable[[str, np.ndarray, Sequence[str]], dict[str, Column]]
Ask = Callable[..., dict[str, Column]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """What one column holds.

    kind:    "number" is one number, "array" a fixed number of them, "label" a class, "other" what cannot be used.
    shape:   of one value, None where it differs between examples.
    classes: of a label; names: of its classes; rate: samples per second of audio.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()
    dtype: np.dtype = FLOAT
    classes: int | None = None
    names: tuple[str, ...] | None = None
    rate: int | None = None


@dataclass(frozen=True, kw_only=True)
class Records:
    """Rows of named fields in splits.

    read:        `(split, indices: i64[n], names) -> {name: n values}`; images arrive decoded, text as str.
    supervised:  the (input, target) that the set itself declares.
    fingerprint: changes with the content; costs reading the files once.
    contents:    changes with the content as far as can be seen at once: of files that are large, names and sizes.
    where:       `(split, index) -> file and line`, where a user would look for the example.
    notes:       what was decided on the way here, a line each, to be said before anything trains.
    apart:       makes another `read`, which has another process do the work by asking it (`fdl.data.readers.worker`).
    """

    name: str
    fields: Mapping[str, Field]
    sizes: Mapping[str, int]
    read: Read
    supervised: tuple[str, str] | None = None
    fingerprint: Callable[[], str] = lambda: ""
    contents: Callable[[], str] = lambda: ""
    where: Callable[[str, int], str] | None = None
    notes: tuple[str, ...] = ()
    apart: Callable[[Ask], Read] | None = None

    def noting(self, *notes: str) -> "Records":
        """Return the same records with these lines added to what is said of them."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *filter(None, notes)))))

    def column(self, split: str, name: str) -> Column:
        """Return one whole column of a split."""
        return self.read(split, np.arange(self.sizes[split]), (name,))[name]

    def at(self, split: str, index: int) -> str:
        """Return where an example is to be found, as errors begin."""
        return self.where(split, index) if self.where else f"{self.name} split {split!r} example {index}"

    def choose(self, asked: str, role: str, kinds: Sequence[Kind], *, besides: Sequence[str] = ()) -> str:
        """Return the one field of these kinds that is asked for, declared by the set, or the only one there is."""
        fits = [name for name, field in self.fields.items() if field.kind in kinds and name not in besides]
        if asked:
            if asked not in self.fields:
                raise ValueError(f"{self.name} has no column {asked!r} for --{role}; its columns are {self._listed()}")
            if asked not in fits:
                rule = "is already taken" if asked in besides else f"is not {' or '.join(kinds)}"
                way = f"give --{role}={' or '.join(fits)}" if fits else "give another --dataset: this one has none"
                raise ValueError(f"column {asked!r} of {self.name} ({self.fields[asked].kind}) {rule}; {way}")
            return asked
        if self.supervised and self.supervised[role == "target"] in fits:
            return self.supervised[role == "target"]
        if len(fits) != 1:
            found = f"several columns fit: {', '.join(fits)}" if fits else f"no column is {' or '.join(kinds)}"
            raise ValueError(f"{self.name}: {found}; name one of {self._listed()} with --{role}")
        return fits[0]

    def _listed(self) -> str:
        return ", ".join(f"{name} ({field.kind})" for name, field in self.fields.items())


def complete(records: Records, *, seed: int = 0, labels: Column | None = None) -> Records:
    """Return the same records with the splits train, validation and test, carved out of train where they lack.

    labels: the class of each training row, to spread the classes evenly.
    """
    for split, size in records.sizes.items():
        if size == 0:
            raise ValueError(f"split {split!r} of {records.name} is empty; give it examples or leave it out")
    if "train" not in records.sizes:
        have = ", ".join(records.sizes)
        raise ValueError(f"{records.name} has no split 'train' but {have}; name one with --train, as in --train={have}")
    missing = {name: share for name, share in HOLD_OUT.items() if name not in records.sizes}
    if not missing:
        return records
    numbers = None if labels is None else np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1]
    size = records.sizes["train"]
    if size < 1 + 2 * len(missing):
        raise ValueError(
            f"{records.name} has {size} training examples, too few to hold some out for {' and '.join(missing)}"
        )
    share = {name: max(part, 1 / size) for name, part in missing.items()}
    rows = split_rows(size, seed=seed, labels=numbers, held_out=share)

    def complete_of(read: Read) -> Read:
        def complete_read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            return read("train", rows[split][indices], names) if split in rows else read(split, indices, names)

        return complete_read

    def apart(ask: Ask) -> Read:
        assert records.apart is not None
        return complete_of(records.apart(ask))

    def where(split: str, index: int) -> str:
        return records.at("train", int(rows[split][index])) if split in rows else records.at(split, index)

    sizes = {**records.sizes, **{name: len(index) for name, index in rows.items()}}
    return replace(
        records,
        sizes=sizes,
        read=complete_of(records.read),
        apart=apart if records.apart else None,
        where=where if records.where else None,
    )
