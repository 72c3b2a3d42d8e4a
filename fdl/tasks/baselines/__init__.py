"""Baselines: classical methods that the model of a page is compared with after training, on the same split.

A page names them: `Experiment(baselines=(chance(), linear(columns())))`. They run in NumPy and SciPy on the host.
"""

from fdl.tasks.baselines.baseline import Baseline, Fitted, Measure, measure_of
from fdl.tasks.baselines.chance import chance
from fdl.tasks.baselines.features import bag_of_tokens, columns, over_time, pixels
from fdl.tasks.baselines.frequent_tag import frequent_tag
from fdl.tasks.baselines.linear import RidgeStart, linear, tf_idf
from fdl.tasks.baselines.n_grams import n_grams
from fdl.tasks.baselines.seasonal_naive import seasonal_naive
from fdl.tasks.baselines.symbol_by_symbol import symbol_by_symbol
from fdl.tasks.baselines.train_mean import train_mean
from fdl.tasks.baselines.typical_sequence import typical_sequence

__all__ = [
    "Baseline",
    "Fitted",
    "Measure",
    "RidgeStart",
    "bag_of_tokens",
    "chance",
    "columns",
    "frequent_tag",
    "linear",
    "measure_of",
    "n_grams",
    "over_time",
    "pixels",
    "seasonal_naive",
    "symbol_by_symbol",
    "tf_idf",
    "train_mean",
    "typical_sequence",
]
