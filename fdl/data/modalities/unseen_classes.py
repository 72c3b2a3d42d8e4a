"""Splits by class, for metric learning: the test split holds classes that no other split has."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch
from fdl.data.dataset import Dataset, LazySource, Source
from fdl.data.records import Ask, Column, Field, Read, Records
from fdl.data.split import HOLD_OUT


def split_by_class(records: Records, target: str = "", *, least: int = 2, seed: int = 0) -> Records:
    """Return the same rows with new splits by class: a tenth of the classes for validation and a tenth for test.

    target: the column of classes, inferred if only one fits; it becomes a label over all classes. Classes with fewer
            than `least` rows are dropped: a single example has no positive pair.
    """
    column = records.choose(target, "target", ("label", "text"))
    old = {split: np.asarray(records.column(split, column)).astype(str) for split in records.sizes}
    counts = Counter(value for values in old.values() for value in values.tolist())
    classes = sorted(value for value, count in counts.items() if count >= max(least, 1))
    held_out = {split: max(2, round(share * len(classes))) for split, share in HOLD_OUT.items()}
    if len(classes) < 2 + sum(held_out.values()):
        raise UserError(
            f"{records.name} has {len(classes)} classes of {least} or more in {column!r}, too few to hold some out "
            f"for each of {', '.join(held_out)}; give 6 or more"
        )
    number = {value: i for i, value in enumerate(classes)}
    counted = {**held_out, "train": len(classes) - sum(held_out.values())}
    place = np.random.default_rng(seed).permutation(len(classes))
    part_of = dict(zip(classes, np.repeat(list(counted), list(counted.values()))[place].tolist(), strict=True))
    rows: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    for split, values in old.items():
        for i, value in enumerate(values.tolist()):
            if value in part_of:
                rows[part_of[value]].append((split, i))

    def apart_of(read: Read) -> Read:
        def apart_read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            wanted = [rows[split][i] for i in indices]
            found: dict[str, list[Any]] = {name: [None] * len(wanted) for name in names}
            for part in records.sizes:
                places = [k for k, (of, _) in enumerate(wanted) if of == part]
                if places:
                    values = read(part, np.array([wanted[k][1] for k in places]), names)
                    for name in names:
                        for k, value in zip(places, values[name], strict=True):
                            found[name][k] = number[str(value)] if name == column else value
            return dict(found)

        return apart_read

    def asking(ask: Ask) -> Read:
        assert records.in_subprocess is not None
        return apart_of(records.in_subprocess(ask))

    said = records.fields[column].names
    names = tuple(said[int(value)] if said else value for value in classes)
    label = Field(kind="label", dtype=np.dtype(np.int32), classes=len(classes), names=names)
    return replace(
        records,
        fields={**records.fields, column: label},
        sizes={split: len(held) for split, held in rows.items()},
        read=apart_of(records.read),
        in_subprocess=asking if records.in_subprocess else None,
        where=lambda split, index: records.at(*rows[split][index]),
        fingerprint=lambda: f"{records.fingerprint()} apart by {column} {least} {seed}",
    )


def numbered(dataset: Dataset) -> Dataset:
    """Return the same dataset with targets {"label": i32[B], "row": i32[B]}: the class, and the place in the split."""

    def number(batch: Batch, indices: Array) -> Batch:
        return batch._replace(targets={"label": batch.targets, "row": indices.astype(np.int32)})

    def numbering(read: Callable[[np.ndarray], Batch]) -> Callable[[np.ndarray], Batch]:
        return lambda indices: number(read(indices), indices)

    def load(split: str) -> Source | LazySource:
        def whole(source: Source) -> Source:
            return replace(source, take=lambda arrays, indices: number(source.take(arrays, indices), indices))

        source = dataset.load(split)
        if isinstance(source, Source):
            return whole(source)
        read, decode, start_subprocess = source.read, source.load, source.in_subprocess
        return replace(
            source,
            read=numbering(read),
            load=lambda: whole(decode()),
            in_subprocess=(lambda: numbering(start_subprocess())) if start_subprocess else None,
        )

    row = jax.ShapeDtypeStruct((), np.int32)
    spec = replace(dataset.spec, targets={"label": dataset.spec.targets, "row": row}, classes=None, names=None)
    return replace(dataset, spec=spec, load=load)


classes_apart = split_by_class  # the name of fdl 0.1, until fdl 0.3
