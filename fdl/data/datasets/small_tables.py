"""Small tables that installed packages bring along: wine, breast cancer, diabetes, and a survey of marriages."""

import jax
import numpy as np

from fdl.data.dataset import Dataset, Spec
from fdl.data.datasets.bundled import bundled_table, classification, package_file, read_table, regression
from fdl.data.split import split_sizes


def wine(*, seed: int = 0) -> Dataset:
    """Return 178 Italian wines of 3 cultivars by 13 chemical measurements; Aeberhard and Forina 1992.

    Inputs f32[B, 13] standardised, targets i32[B].
    """

    def read() -> np.ndarray:
        return bundled_table("wine_data.csv", loader="load_wine", header=1)

    return Dataset(name="wine", spec=_spec(13, 178, classes=3), load=classification(read, seed))


def cancer(*, seed: int = 0) -> Dataset:
    """Return 569 breast tumours by 30 measurements (Wisconsin, diagnostic); Street, Wolberg and Mangasarian 1993.

    Inputs f32[B, 30] standardised, targets i32[B]: 0 malignant, 1 benign.
    """

    def read() -> np.ndarray:
        return bundled_table("breast_cancer.csv", loader="load_breast_cancer", header=1)

    spec = _spec(30, 569, classes=2, names=("malignant", "benign"))
    return Dataset(name="cancer", spec=spec, load=classification(read, seed))


def affairs(*, seed: int = 0) -> Dataset:
    """Return 6,366 married women surveyed by Redbook magazine in 1974; Fair 1978, as bundled with statsmodels.

    Inputs f32[B, 8] standardised, targets i32[B]: 1 where there was an affair.
    """

    def read() -> np.ndarray:
        table = read_table(package_file("statsmodels", "datasets", "fair", "fair.csv"))
        return np.column_stack([table[:, :-1], table[:, -1] > 0])

    spec = _spec(8, 6366, classes=2, names=("faithful", "affair"))
    return Dataset(name="affairs", spec=spec, load=classification(read, seed))


def diabetes(*, seed: int = 0) -> Dataset:
    """Return 442 patients by 10 measurements and how far the disease went in a year; Efron et al. 2004.

    Inputs f32[B, 10] standardised, targets f32[B]: progression in its own unit (25 to 346).
    """

    def read() -> np.ndarray:
        files = "diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"
        return bundled_table(*files, loader="load_diabetes", delimiter=None)

    return Dataset(name="diabetes", spec=_spec(10, 442), load=regression(read, seed))


def _spec(features: int, rows: int, *, classes: int | None = None, names: tuple[str, ...] | None = None) -> Spec:
    return Spec(
        inputs=jax.ShapeDtypeStruct((features,), np.float32),
        targets=jax.ShapeDtypeStruct((), np.int32 if classes else np.float32),
        sizes=split_sizes(rows),
        classes=classes,
        names=names,
    )
