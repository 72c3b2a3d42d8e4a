"""Measure an experiment's baselines on its test split, within a share of the processor time that its run took.

Times are of the processor: on a busy machine a baseline is fitted on as many rows as on an idle one.

Shape legend: n examples.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fdl.core.errors import brief as brief_error
from fdl.core.log import Log
from fdl.core.types import Batch, Metric
from fdl.experiment import Experiment
from fdl.runs.progress_bar import brief
from fdl.tasks.baselines.baseline import Baseline

SHARE = 0.2  # of the time of the run so far
LEAST_SECONDS = 1.0
FIRST_ROWS = 500  # that are fitted first, to learn how long more of them take
FAIR_NUMBERS = 2**20  # features that are fitted however short the run was: 16,384 rows of 64 columns
MOST_ROWS, MOST_NUMBERS = 200_000, 2**26  # that are fitted: these many rows, and these many features of all rows
ERROR_RATE = "error_rate"
_CHUNK, _CHUNK_BYTES = 512, 2**26  # rows that are read and transformed together, fewer of large ones
_GROWTH = 1.3  # the time of a fit grows by at most this power of its rows


def measure_baselines(experiment: Experiment, seconds: float, log: Log) -> list[dict[str, Any]]:
    """Return for each baseline, in order, its name, the rows it was fitted on, seconds and test metrics.

    seconds: the processor time of the run so far, a fifth of which all baselines together may take. A baseline that
    needs longer is fitted on some rows of train, those of FAIR_NUMBERS at least; one that fails is logged and left out,
    since it must not fail a finished run.
    """
    found, budget = [], max(LEAST_SECONDS, SHARE * seconds)
    for i, baseline in enumerate(experiment.baselines):
        begun = time.process_time()
        try:
            name, rows, size, metrics = _measured(experiment, baseline, budget / (len(experiment.baselines) - i))
        except Exception as error:
            log(f"warning: a baseline is not measured ({type(error).__name__}: {brief_error(error)})")
            continue
        spent = time.process_time() - begun
        budget -= spent
        more = {"chance": baseline.chance, "rows": rows, "of": size, "seconds": spent}
        found.append({"name": name, "metrics": dict(metrics), **more})
    return found


def averaged(found: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the baselines that each of several experiments measured, with the means of their metrics."""
    by_name = [{each["name"]: each for each in one} for one in found]
    result = []
    for name, first in by_name[0].items():
        same = [one[name]["metrics"] for one in by_name if name in one]
        if len(same) == len(found):
            result.append({**first, "metrics": {key: float(np.mean([one[key] for one in same])) for key in same[0]}})
    return result


def lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each baseline: its name, the rows it was fitted on where these are not all, and its metrics."""
    some = [f" (of {each['rows']:,} of {each['of']:,} rows)" * (each["rows"] < each["of"]) for each in found]
    return [f"baseline {each['name']}{rows}: {brief(each['metrics'])}" for each, rows in zip(found, some, strict=True)]


def judged_by(primary: str, test: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    """Return the metric that a model is compared by: of sequences that both have written their error rate.

    How many sequences are right to the last token says nothing where these are long: all of them have an error.
    """
    return ERROR_RATE if ERROR_RATE in test and any(ERROR_RATE in each["metrics"] for each in found) else primary


def verdict(test: Mapping[str, Any], n: int, primary: str, metric: Metric, found: Sequence[Mapping[str, Any]]) -> str:
    """Return a line which says that a model is no better than a baseline, or "" where it is better than all.

    Guessing has to be beaten by more than the noise of a test split, by the primary metric or the loss. n: the examples
    of the split, or the numbers to predict in them.
    """
    sign, share = (-1.0 if metric.better == "lower" else 1.0), metric.better == "higher" or primary == ERROR_RATE
    rivals = [each for each in found if primary in each["metrics"]]
    for each in (each for each in rivals if each["chance"]):
        ahead = sign * (test[primary] - each["metrics"][primary])
        likelier = metric.better == "higher" and test["loss"] < each["metrics"].get("loss", -math.inf) * (1 - n**-0.5)
        if not (ahead > _noise(each["metrics"][primary], n, share) or likelier):
            return f"no better than guessing: {_against(test, primary, each)}"
    better = [each for each in rivals if not sign * (test[primary] - each["metrics"][primary]) >= 0]
    if not better:
        return ""
    best = max(better, key=lambda each: sign * each["metrics"][primary])
    return f"no better than the baseline: {_against(test, primary, best)}"


def _against(test: Mapping[str, Any], primary: str, each: Mapping[str, Any]) -> str:
    return f"test {primary} {test[primary]:.4g}, {each['name']} {each['metrics'][primary]:.4g}"


def _noise(value: float, n: int, share: bool) -> float:
    """Return by how much a model that learned nothing may be ahead of guessing, once in forty times at most.

    Of a share of n examples that is two standard errors. An error is of the same examples for both: predictions that
    are independent of what they predict lower the mean square by at most 4 / n, whatever their size, once in forty
    times, so its root by 2 / n.
    """
    return 2 * (math.sqrt(max(value * (1 - value), 0.0) / n) if share else abs(value) / n)


def _measured(experiment: Experiment, baseline: Baseline, seconds: float) -> tuple[str, int, int, Mapping[str, float]]:
    """Return the name, the rows fitted, the rows there are, and the test metrics of one baseline."""
    rows, outputs = _candidates(experiment), experiment.dataset.spec.outputs
    read = _reader(experiment, baseline.features)

    # Some rows first, which say how many fit into the time; compiling the transform takes no longer for more of them.
    begun, some = time.process_time(), rows[:FIRST_ROWS]
    read("train", some[:1])
    compiled = time.process_time()
    train = read("train", some)
    fitted = baseline.fit(train, experiment.task, outputs)
    now = time.process_time()
    spent, left = now - compiled, seconds - (now - begun)
    width = sum(leaf.size for leaf in jax.tree.leaves(train.inputs)) // len(some)  # of a SciPy matrix, what it keeps
    most = min(len(rows), MOST_ROWS, max(len(some), MOST_NUMBERS // max(1, width)))
    fair = min(most, FAIR_NUMBERS // max(1, width))
    more = max(fair, min(most, int(len(some) * max(left / max(spent, 1e-6), 0.0) ** (1 / _GROWTH))))
    if more > len(some) and (more in (most, fair) or more > 1.5 * len(some)):
        train = _joined([train, read("train", rows[len(some) : more])])
        fitted, some = baseline.fit(train, experiment.task, outputs), rows[:more]
    test = read("test", np.arange(experiment.dataset.spec.sizes["test"]))
    return fitted.name, len(some), len(rows), fitted.measure(test)


def _candidates(experiment: Experiment) -> np.ndarray:
    """Return the rows of train in random order; of windows that overlap, those that do not."""
    spec = experiment.dataset.spec
    size = spec.sizes["train"]
    disjoint = np.arange(0, size, max(1, round(size / spec.epoch_size)))
    return np.random.default_rng(experiment.seed).permutation(disjoint)


def _reader(experiment: Experiment, features: Callable[[Any], Any]) -> Callable[[str, np.ndarray], Batch]:
    """Return `(split, rows) -> examples` with features for inputs, after the dataset's transform."""
    dataset = experiment.dataset
    transform: Callable[[Batch], Batch] = jax.jit(dataset.transform) if dataset.transform else lambda batch: batch
    largest = max(_bytes(dataset.raw_shapes(1)), _bytes(dataset.shapes(1)))
    chunk = min(_CHUNK, max(1, _CHUNK_BYTES // largest))

    def read(split: str, rows: np.ndarray) -> Batch:
        source, parts = dataset.load(split), []
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            # The last chunk is filled up, so that the transform is compiled once.
            whole = part if dataset.transform is None else np.resize(part, chunk)
            batch = jax.tree.map(lambda x, part=part: np.asarray(x)[: len(part)], transform(source.fetch(whole)))
            parts.append(batch._replace(inputs=features(batch.inputs)))
        return _joined(parts)

    return read


def _bytes(shapes: Batch) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def _joined(parts: Sequence[Batch]) -> Batch:
    """Return the examples of all parts; features may be SciPy matrices."""

    def join(*leaves: Any) -> Any:
        if isinstance(leaves[0], np.ndarray):
            return np.concatenate(leaves)
        from scipy.sparse import vstack

        return vstack(leaves, format="csr")

    joined: Batch = jax.tree.map(join, *parts)
    return joined
