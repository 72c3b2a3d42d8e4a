"""Standardisation: columns to mean 0 and deviation 1, both measured on the training split."""

import numpy as np


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the scale of each column: its standard deviation, 1 where the column is constant.

    Numbers that are missing (NaN) are left out; a column of nothing else has mean 0.
    """
    count = np.maximum((~np.isnan(features)).sum(0), 1)
    mean = np.nansum(features, axis=0) / count
    scale = np.sqrt(np.nansum((features - mean) ** 2, axis=0) / count)
    varies = np.fmax.reduce(features) > np.fmin.reduce(features)  # the mean of a constant may miss it by a rounding
    return mean, np.where(varies, scale, 1.0)
