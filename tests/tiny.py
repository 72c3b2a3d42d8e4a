"""Tiny experiments that tests train: everything real, nothing large."""

from dataclasses import replace
from typing import Any

import chex
import jax
import numpy as np
import optax

from fdl.core.recorded import recorded
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, Spec, columns, shape_of
from fdl.experiment import Experiment
from fdl.models import CNN, MLP
from fdl.tasks import classify


def dataset(sizes: dict[str, int] | None = None, *, shape: tuple[int, ...] = (5,), classes: int = 3) -> Dataset:
    """Points around one centre per class."""
    sizes = sizes or {"train": 40, "validation": 9, "test": 11}
    random = np.random.default_rng(0)
    centres = random.normal(size=(classes, *shape)).astype(np.float32)

    def load(split: str):
        random = np.random.default_rng(list(sizes).index(split))
        labels = random.integers(0, classes, sizes[split]).astype(np.int32)
        return columns(centres[labels] + random.normal(size=(len(labels), *shape)).astype(np.float32), labels)

    first = load("train")
    spec = Spec(inputs=shape_of(first.arrays[0]), targets=shape_of(first.arrays[1]), sizes=sizes, classes=classes)
    return Dataset(name="tiny", spec=spec, load=load)


def experiment(**changes: Any) -> Experiment:
    """An MLP with dropout on the tiny set, by SGD."""
    made = Experiment(
        model=MLP(outputs=3, hidden=(8,), dropout=0.2),
        dataset=dataset(),
        task=classify(3),
        optimizer=recorded(optax.sgd)(0.1, momentum=0.9),
        batch_size=8,
        steps=12,
        log_every=4,
        name="tiny",
    )
    return replace(made, **changes)


def convolutional(dropout: float = 0.2, **changes: Any) -> Experiment:
    """A CNN with batch norm and dropout on tiny images, by SGD."""
    model = CNN(outputs=3, channels=(4,), hidden=(8,), norm="batch", dropout=dropout)
    return experiment(model=model, dataset=dataset(shape=(4, 4, 1)), batch_size=16, **changes)


def batch(made: Experiment, weights: np.ndarray) -> Batch:
    """The first examples of the training split with these weights: a batch of len(weights)."""
    found = made.dataset.load("train").fetch(np.arange(len(weights)))
    return found._replace(weights=weights.astype(np.float32))


def close(left: Any, right: Any, tolerance: float = 1e-6) -> None:
    """Assert that two trees have one structure and arrays equal to a tolerance, absolute and relative."""
    chex.assert_trees_all_close(*(jax.tree.map(values, tree) for tree in (left, right)), rtol=tolerance, atol=tolerance)


def same(left: Any, right: Any) -> None:
    """Assert that two trees of arrays are equal bit for bit."""
    chex.assert_trees_all_equal(*(jax.tree.map(values, tree) for tree in (left, right)))


def values(leaf: Any) -> np.ndarray:
    """The numbers of an array, those of a typed key too."""
    typed = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if typed else leaf)
