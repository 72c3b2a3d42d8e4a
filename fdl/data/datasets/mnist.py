"""MNIST: 70,000 handwritten digits, LeCun et al. 1998, as TensorFlow Datasets keeps them."""

from functools import cache

import jax
import numpy as np

from fdl.data.dataset import Augment, Dataset, LazySource, Source, Spec
from fdl.data.modalities.images import images
from fdl.data.pixels import center_bytes
from fdl.data.readers.find import find


def mnist(*, augment: Augment | None = None) -> Dataset:
    """Return the digits: inputs u8[B, 28, 28, 1], in [-1, 1] on the device, targets i32[B] of 10 classes.

    Nothing is read, or downloaded the first time, before a split is loaded. Validation is the end of TFDS's train.
    """

    @cache
    def read() -> Dataset:
        splits = {"train": "train[:54000]", "validation": "train[54000:]", "test": "test"}
        return images(find("mnist", splits=splits), inputs="image", target="label")

    def load(split: str) -> Source | LazySource:
        return read().load(split)

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((28, 28, 1), np.uint8),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes={"train": 54_000, "validation": 6_000, "test": 10_000},
        classes=10,
        names=tuple("0123456789"),
    )
    return Dataset(name="mnist", spec=spec, load=load, transform=center_bytes, augment=augment)
