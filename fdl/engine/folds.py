"""Cross-validation: the rows of train and validation in K folds, of which a run holds out one and trains on the others.

The test split stays as it is. So do scales, vocabularies and classes, which are those of the whole training split.
"""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Array, Batch, PyTree
from fdl.data import Dataset, Source
from fdl.experiment import Experiment
from fdl.tasks.baselines import RidgeStart


@dataclass(frozen=True, kw_only=True)
class FoldSource(Source):
    """Some rows of a pool that the folds of a dataset share.

    pool: all rows of train, then those of validation. rows: i64[size], which of them these are.
    """

    pool: Source
    rows: np.ndarray


def fold_rows(size: int, count: int, labels: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the rows of each fold, sorted: disjoint, together all, of sizes that differ by one at most.

    labels: [size], each class of which is spread evenly over the folds.

    >>> [len(rows) for rows in fold_rows(11, 3)]
    [4, 4, 3]
    """
    rows = np.random.default_rng(0).permutation(size)
    if labels is not None:
        rows = rows[np.argsort(labels[rows], kind="stable")]
    return [np.sort(rows[fold::count]) for fold in range(count)]


def folded(experiment: Experiment, text: str) -> Experiment:
    """Return the experiment of one fold, `2/5` for the second of five: that one is its validation split.

    A start at ridge regression is fitted on the rows that this fold trains on.
    """
    index, count = parse(text)
    dataset = _fold(experiment.dataset, experiment.name, index, count)
    model, start = experiment.model, getattr(experiment.model, "start", None)
    if isinstance(start, RidgeStart):
        validation = start.validation and partial(dataset.examples, "validation")
        model = model.clone(start=replace(start, train=partial(dataset.examples, "train"), validation=validation))
    return replace(experiment, dataset=dataset, model=model)


def parse(text: str) -> tuple[int, int]:
    """Return which fold this is, from 0, and how many there are."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) and int(count) > 1):
        raise UserError(f"fold {text!r} is none; write 2/5 for the second of five")
    return int(number) - 1, int(count)


def _fold(dataset: Dataset, name: str, index: int, count: int) -> Dataset:
    spec = dataset.spec
    if spec.targets is None or spec.epoch or dataset.modality == "series":
        raise UserError(
            f"folds are of examples that stand alone, and those of {name} follow each other: a fold would be trained "
            "on what comes after it; leave it out"
        )
    size = spec.sizes["train"] + spec.sizes["validation"]
    if count > size:
        raise UserError(f"{count} folds of {size} rows are too many; give {size} or fewer")
    held = len(range(index, size, count))

    @cache
    def rows() -> tuple[Source, list[np.ndarray]]:
        pool = _pool(dataset, name)
        labels = np.asarray(pool.fetch(np.arange(size)).targets) if spec.classes else None
        return pool, fold_rows(size, count, labels if labels is not None and labels.ndim == 1 else None)

    def load(split: str) -> Any:
        if split not in ("train", "validation"):
            return dataset.load(split)
        pool, parts = rows()
        others = np.sort(np.concatenate([part for i, part in enumerate(parts) if i != index]))
        return _some(pool, others if split == "train" else parts[index])

    sizes = {**spec.sizes, "train": size - held, "validation": held}
    return replace(dataset, spec=replace(spec, sizes=sizes), load=load, whole=dataset)


def _pool(dataset: Dataset, name: str) -> Source:
    """Return the rows of train, then those of validation, as one source in memory."""
    first, second = (dataset.load(split).resident() for split in ("train", "validation"))
    if any(len(leaf) != len(part) for part in (first, second) for leaf in jax.tree.leaves(part.arrays)):
        raise UserError(
            f"folds are of examples that stand alone, and those of {name} share what they read; leave it out"
        )
    arrays = jax.tree.map(lambda *leaves: np.concatenate(leaves), first.arrays, second.arrays)
    return replace(first, arrays=arrays, size=len(first) + len(second))


def _some(pool: Source, rows: np.ndarray) -> FoldSource:
    def take(arrays: PyTree, indices: Array) -> Batch:
        chosen = jnp.asarray(rows)[indices] if isinstance(indices, jax.Array) else rows[indices]
        return pool.take(arrays, chosen)

    return FoldSource(arrays=pool.arrays, size=len(rows), take=take, pool=pool, rows=rows)
