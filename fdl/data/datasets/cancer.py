"""Breast cancer (Wisconsin, diagnostic): 569 tumours by 30 measurements; Street, Wolberg and Mangasarian 1993."""

import jax
import numpy as np

from fdl.data.dataset import Dataset, Spec
from fdl.data.datasets.bundled import bundled_table, classification
from fdl.data.split import split_sizes


def cancer(*, seed: int = 0) -> Dataset:
    """Return the tumours: inputs f32[B, 30] standardised, targets i32[B]: 0 malignant, 1 benign."""

    def read() -> np.ndarray:
        return bundled_table("breast_cancer.csv", loader="load_breast_cancer", header=1)

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((30,), np.float32),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=split_sizes(569),
        classes=2,
        names=("malignant", "benign"),
    )
    return Dataset(name="cancer", spec=spec, load=classification(read, seed))
