"""Splits: which rows train, which choose the best checkpoint, which are kept for the last word."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import count_each

_FEW = 16  # classes
HOLD_OUT: Mapping[str, float] = {"validation": 0.1, "test": 0.1}


def split_sizes(size: int, held_out: Mapping[str, float] = HOLD_OUT) -> dict[str, int]:
    """Return how many rows each split of `size` rows gets, without looking at them.

    >>> split_sizes(150)
    {'train': 120, 'validation': 15, 'test': 15}
    """
    sizes = {name: round(size * fraction) for name, fraction in held_out.items()}
    train = size - sum(sizes.values())
    if train < 1:
        raise UserError(f"{size} rows leave {train} to train on after {sizes}; give more rows or hold out less")
    return {"train": train, **sizes}


def split_rows(
    size: int, *, seed: int = 0, labels: np.ndarray | None = None, held_out: Mapping[str, float] = HOLD_OUT
) -> dict[str, np.ndarray]:
    """Return i32[n] row numbers of each split: disjoint, together every row, the same for the same seed.

    labels: [size] or None; with labels every class is spread over the splits as evenly as whole rows allow, and each
    has a row in train: what was not seen there could not be queried later.
    """
    sizes = split_sizes(size, held_out)
    rows = np.arange(size, dtype=np.int32 if size < 2**31 else np.int64)
    np.random.default_rng(seed).shuffle(rows)
    if labels is not None:
        labels = _dense(np.asarray(labels))
        rows = _by_class(rows, labels)
    splits = {}
    for name in held_out:
        # Evenly spaced picks from rows sorted by class: each class gives its share, and the count is exact.
        picks = (np.arange(sizes[name]) * len(rows) + len(rows) // 2) // max(sizes[name], 1)
        splits[name] = np.sort(rows[picks])
        kept = np.ones(len(rows), bool)
        kept[picks] = False
        rows = rows[kept]
    rows.sort()
    whole = {"train": rows, **splits}
    return whole if labels is None else _all_in_train(whole, labels)


def _by_class(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return rows sorted by class, those of one class in the order that they were in."""
    of = labels[rows]
    classes = int(of.max()) + 1 if len(of) else 0
    if classes > _FEW:
        return rows[np.argsort(of, kind="stable")]
    by_class, begun = np.empty_like(rows), 0  # in a third of the memory
    for number in range(classes):
        part = rows[of == number]
        by_class[begun : begun + len(part)] = part
        begun += len(part)
    return by_class


def _dense(labels: np.ndarray) -> np.ndarray:
    """Return the number of each label among the different ones, in the fewest bits: up to 16 sort in one pass."""
    if labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0 or labels.max() >= 2**16:
        labels = np.unique(labels, return_inverse=True)[1]
    return labels.astype(np.min_scalar_type(int(labels.max()) if len(labels) else 0), copy=False)


def _all_in_train(splits: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return splits of the same sizes in which train has each class: rows of rare ones against one of the commonest."""
    present = count_each(labels, int(labels.max()) + 1)
    counts = count_each(labels[splits["train"]], len(present))
    for absent in np.flatnonzero((counts == 0) & (present > 0)):
        split, row = next((name, int(row)) for name, rows in splits.items() for row in rows if labels[row] == absent)
        most = int(np.argmax(counts))
        if counts[most] < 2:
            break  # more classes than rows to train on
        given = int(splits["train"][labels[splits["train"]] == most][-1])
        for name, old, new in ((split, row, given), ("train", given, row)):
            splits[name] = np.sort(np.where(splits[name] == old, new, splits[name]))
        counts[absent], counts[most] = 1, counts[most] - 1
    return splits


def rare_classes(labels: Any, numbers: np.ndarray, rows: Mapping[str, np.ndarray]) -> str:
    """Say which classes have too few rows to be in every split that was carved out."""
    of_split = [count_each(numbers[index], int(numbers.max()) + 1) for index in rows.values()]
    rare = np.flatnonzero((np.min(of_split, 0) == 0) & (np.sum(of_split, 0) > 0))
    if not len(rare):
        return ""
    names = [str(labels[int(np.argmax(numbers == number))]) for number in rare[:3]]
    listed = ", ".join(names) + ", …" * (len(rare) > 3)
    unseen = np.flatnonzero((of_split[0] == 0) & (np.sum(of_split, 0) > 0))
    train = f"train lacks {len(unseen)} of them" if len(unseen) else "train has them all"
    classes = np.count_nonzero(np.sum(of_split, 0))
    return f"{len(rare)} of {classes} classes are too rare for each split ({listed}): {train}"


class Remaining:
    """The rows, in order, that others leave of `size`, indexed as an array of them without a number for each.

    others: i[m], sorted, each once.
    """

    def __init__(self, size: int, others: np.ndarray) -> None:
        self.size = size - len(others)
        self.before = others - np.arange(len(others), dtype=others.dtype)  # how many rows remain before each of them

    def __getitem__(self, index: Any) -> Any:
        """Return the rows of these places: each is as many further as there are others before it."""
        return index + np.searchsorted(self.before, index, side="right")


def by_place(rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the rows of `split_rows`, indexed as they are, in a fraction of their memory where train has most."""
    held = {split: index for split, index in rows.items() if split != "train"}
    size = sum(len(index) for index in rows.values())
    return {"train": Remaining(size, np.sort(np.concatenate([*held.values()]))), **held}


Kept = TypeVar("Kept")


def pick(splits: Mapping[str, Kept], split: str) -> Kept:
    """Return what is kept under a split, or say which splits there are."""
    if split not in splits:
        raise UserError(f"there is no split {split!r}; splits are {', '.join(splits)}")
    return splits[split]
