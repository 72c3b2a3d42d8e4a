"""Diabetes: 442 patients by 10 measurements and how far the disease went in a year; Efron et al. 2004."""

import jax
import numpy as np

from fdl.data.dataset import Dataset, Spec
from fdl.data.datasets.bundled import bundled_table, regression
from fdl.data.split import split_sizes


def diabetes(*, seed: int = 0) -> Dataset:
    """Return the patients: inputs f32[B, 10] standardised, targets f32[B], progression in its own unit (25 to 346)."""

    def read() -> np.ndarray:
        return bundled_table(
            "diabetes_data_raw.csv.gz", "diabetes_target.csv.gz", loader="load_diabetes", delimiter=None
        )

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((10,), np.float32),
        targets=jax.ShapeDtypeStruct((), np.float32),
        sizes=split_sizes(442),
    )
    return Dataset(name="diabetes", spec=spec, load=regression(read, seed))
