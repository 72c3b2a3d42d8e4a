"""Wine: 178 Italian wines of three cultivars by 13 chemical measurements; Aeberhard and Forina 1992."""

import jax
import numpy as np

from fdl.data.dataset import Dataset, Spec
from fdl.data.datasets.bundled import bundled_table, classification
from fdl.data.split import split_sizes


def wine(*, seed: int = 0) -> Dataset:
    """Return the wines: inputs f32[B, 13] standardised, targets i32[B] of 3 classes."""

    def read() -> np.ndarray:
        return bundled_table("wine_data.csv", loader="load_wine", header=1)

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((13,), np.float32),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=split_sizes(178),
        classes=3,
    )
    return Dataset(name="wine", spec=spec, load=classification(read, seed))
