"""Handwritten digits, 1,797 images of 8×8: Alpaydin and Kaynak 1998, as bundled with scikit-learn."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np

from fdl.data.dataset import Dataset, Source, Spec, columns
from fdl.data.datasets.bundled import bundled_table
from fdl.data.modalities.unseen_classes import numbered
from fdl.data.split import pick, split_rows, split_sizes


def digits(*, seed: int = 0) -> Dataset:
    """Return the digits: inputs f32[B, 8, 8, 1] in [0, 1], targets i32[B] of 10 classes; splits stratified by class."""

    @cache
    def sources() -> dict[str, Source]:
        table = bundled_table("digits.csv.gz", loader="load_digits")
        images = (table[:, :-1] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        labels = table[:, -1].astype(np.int32)
        rows = split_rows(len(table), seed=seed, labels=labels)
        return {name: columns(images[index], labels[index]) for name, index in rows.items()}

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((8, 8, 1), np.float32),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=split_sizes(1797),
        classes=10,
        names=tuple("0123456789"),
    )
    return Dataset(name="digits", spec=spec, load=lambda split: pick(sources(), split))


def digits_apart() -> Dataset:
    """Return the digits split by class, for metric learning: the test split holds all 7, 8 and 9 and no other does.

    Targets are {"label": i32[B], "row": i32[B]}, the class and the row in the split.
    """
    whole = digits()

    @cache
    def sources() -> dict[str, Source]:
        by_split = {split: whole.load(split).resident().arrays for split in whole.spec.sizes}
        images, labels = (np.concatenate([arrays[i] for arrays in by_split.values()]) for i in (0, 1))
        held_out = images[labels >= 7], labels[labels >= 7]
        kept = {split: (x[y < 7], y[y < 7]) for split, (x, y) in by_split.items()}
        train = [np.concatenate([kept["train"][i], kept["test"][i]]) for i in (0, 1)]
        parts = {"train": train, "validation": kept["validation"], "test": held_out}
        return {split: columns(x, y) for split, (x, y) in parts.items()}

    spec = replace(whole.spec, sizes={"train": 1137, "validation": 127, "test": 533})
    return numbered(Dataset(name="digits_apart", spec=spec, load=lambda split: pick(sources(), split)))
