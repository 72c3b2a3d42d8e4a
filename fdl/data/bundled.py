"""The small real sets that scikit-learn ships: read from its files, since importing it takes a second."""

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from fdl.data.source import Source, columns
from fdl.data.split import split_rows

Kept = TypeVar("Kept")


def bundled_table(*files: str, loader: str, delimiter: str | None = ",", header: int = 0) -> np.ndarray:
    """Return f64[n, columns + 1] of a bundled set, the target last.

    files:  in scikit-learn's data folder, read side by side.
    loader: the public function of `sklearn.datasets` that gives the same, used where the files are not there.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise ValueError(f"{files[0]} is part of scikit-learn, which is not installed; run: pip install scikit-learn")
    folder = Path(found.origin).parent / "datasets" / "data"
    if all((folder / file).is_file() for file in files):
        return np.column_stack([_read(folder / file, delimiter, header) for file in files])
    import sklearn.datasets

    options = {"scaled": False} if loader == "load_diabetes" else {}
    return np.column_stack(getattr(sklearn.datasets, loader)(return_X_y=True, **options))


def _read(path: Path, delimiter: str | None, header: int) -> np.ndarray:
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path, encoding="utf-8") as lines:
        return np.loadtxt(lines, delimiter=delimiter, skiprows=header)


def classification(read: Callable[[], np.ndarray], seed: int) -> Callable[[str], Source]:
    """Return the `load` of a table whose last column is a class: standardised features, splits stratified by class."""
    return _standardised(read, seed, classes=True)


def regression(read: Callable[[], np.ndarray], seed: int) -> Callable[[str], Source]:
    """Return the `load` of a table whose last column is a number, kept in its own unit: targets f32[B]."""
    return _standardised(read, seed, classes=False)


def _standardised(read: Callable[[], np.ndarray], seed: int, *, classes: bool) -> Callable[[str], Source]:
    @cache
    def sources() -> dict[str, Source]:
        table = read()
        features, targets = table[:, :-1], table[:, -1].astype(np.int32 if classes else np.float32)
        rows = split_rows(len(table), seed=seed, labels=targets if classes else None)
        mean, scale = standardisation(features[rows["train"]])
        features = ((features - mean) / scale).astype(np.float32)
        return {name: columns(features[index], targets[index]) for name, index in rows.items()}

    return lambda split: pick(sources(), split)


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the scale of each column: its standard deviation, 1 where the column is constant."""
    mean, scale = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
    return mean, np.where(scale > 0, scale, 1.0)


def pick(splits: Mapping[str, Kept], split: str) -> Kept:
    """Return what is kept under a split, or say which splits there are."""
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; splits are {', '.join(splits)}")
    return splits[split]
