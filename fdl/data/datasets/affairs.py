"""Affairs: 6,366 married women asked by Redbook magazine in 1974; Fair 1978, as bundled with statsmodels."""

import jax
import numpy as np

from fdl.data.dataset import Dataset, Spec
from fdl.data.datasets.bundled import classification, package_file, read_table
from fdl.data.split import split_sizes


def affairs(*, seed: int = 0) -> Dataset:
    """Return the women: inputs f32[B, 8] standardised, targets i32[B]: 1 where there was an affair."""

    def read() -> np.ndarray:
        table = read_table(package_file("statsmodels", "datasets", "fair", "fair.csv"))
        return np.column_stack([table[:, :-1], table[:, -1] > 0])

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((8,), np.float32),
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=split_sizes(6366),
        classes=2,
        names=("faithful", "affair"),
    )
    return Dataset(name="affairs", spec=spec, load=classification(read, seed))
