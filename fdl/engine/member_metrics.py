"""Metrics of a population: of each member, over all members, and which member is the best."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fdl.core.types import Sums, Task
from fdl.engine.measures import gradient_norm

Members = list[dict[str, Any]]  # the metrics of each


def metrics_of(task: Task, sums: Sums, size: int, split: str) -> Members:
    """Return the metrics of each member from sums with a leading P."""
    found: Members = []
    for index in range(size):
        member = {name: type(s)(s.total[index], s.weight[index]) for name, s in sums.items()}
        found.append(task.finish(member, split))
        for name in {"n", "skipped"} & set(member):
            found[-1][name] = round(float(member[name].total))
        found[-1] |= gradient_norm(member)
    return found


def spread(found: Members) -> dict[str, Any]:
    """Return the mean, the standard deviation (of a sample, n - 1) and the list over members of each scalar metric.

    Members with a non-finite value are excluded from mean and deviation and listed in `{name}_left_out`.
    """
    result: dict[str, Any] = {}
    for name, value in found[0].items():
        if not isinstance(value, int | float):
            continue
        numbers = [member[name] for member in found]
        finite = [number for number in numbers if math.isfinite(number)]
        mean = float(np.mean(finite)) if finite else math.nan
        deviation = float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0
        result |= {name: mean, f"{name}_std": deviation, f"{name}_members": numbers}
        if len(finite) < len(numbers):
            result[f"{name}_left_out"] = [i for i, number in enumerate(numbers) if not math.isfinite(number)]
    return result


def best_of(scores: list[float], better: str | None) -> int:
    """Return the index of the best score; NaN is never the best, unless all are."""
    sign = -1 if better == "lower" else 1
    return max(range(len(scores)), key=lambda i: (not math.isnan(scores[i]), sign * scores[i], -i))


def score_of(monitor: str, found: Mapping[str, float]) -> float:
    """Return the score of a member by its metrics, NaN where it diverged."""
    return found[monitor] if math.isfinite(found.get("loss", 0.0)) else math.nan
