"""The small real sets that scikit-learn ships: read from its files, since importing it takes a second."""

import gzip
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Source, columns
from fdl.data.modalities.standardise import standardisation
from fdl.data.split import pick, split_rows


def bundled_table(*files: str, loader: str, delimiter: str | None = ",", header: int = 0) -> np.ndarray:
    """Return f64[n, columns + 1] of a bundled set, the target last.

    files:  in scikit-learn's data folder, read side by side.
    loader: the public function of `sklearn.datasets` that gives the same, used where the files are not there.
    """
    paths = [package_file("sklearn", "datasets", "data", file, distribution="scikit-learn") for file in files]
    if all(path.is_file() for path in paths):
        return np.column_stack([read_table(path, delimiter, header) for path in paths])
    import sklearn.datasets

    options = {"scaled": False} if loader == "load_diabetes" else {}
    return np.column_stack(getattr(sklearn.datasets, loader)(return_X_y=True, **options))


def package_file(package: str, *parts: str, distribution: str = "") -> Path:
    """Return the path of a file that an installed package brings along, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        name = distribution or package
        raise UserError(f"{parts[-1]} is part of {name}, which is not installed; run: pip install {name}")
    return Path(found.origin).parent.joinpath(*parts)


def read_table(path: Path, delimiter: str | None = ",", header: int = 1) -> np.ndarray:
    """Return f64[n, columns] of a text file of numbers, without its first `header` lines."""
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
