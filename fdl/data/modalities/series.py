"""Time series: windows of the past as inputs, what came next as targets, split in time so that nothing sees the future.

Shape legend: B batch, T places of the past, K columns, H places to forecast.
"""

from functools import cache
from typing import Any

import jax
import numpy as np

from fdl.data.dataset import Dataset, Source, Spec, columns, dataset_of
from fdl.data.modalities.standardise import standardisation
from fdl.data.records import Records
from fdl.data.split import pick


def series(
    records: Records,
    *,
    inputs: tuple[str, ...] = (),
    target: str = "",
    time: str = "",
    length: int = 64,
    horizon: int = 1,
    season: int = 1,
) -> Dataset:
    """Return forecasts of one column: inputs f32[B, T, K], targets and weights f32[B, H].

    The target is the *change* against the seasonal naive forecast, which repeats the last season that is known (the
    last value, where `season` is 1): its errors are those of the forecast, in the column's own unit, and a model that
    answers 0 is as good as that forecast. `fitted["seasonal_naive"]` keeps how good that is on each split.

    time: a column to sort by; rows are in order already where empty. Columns besides the target that are named as
    inputs are only read up to the present. The last 10 % in time are the test, the 10 % before them the validation.
    A missing number takes the last known one. Training windows begin at every place; evaluation forecasts every place
    once, in steps of H.
    """
    if min(length, horizon, season) < 1:
        raise ValueError(f"length {length}, horizon {horizon} and season {season} count places; give 1 or more of each")
    goal = records.choose(target, "target", ("number",), besides=(time,) if time else ())
    used = [goal, *(name for name in inputs if name != goal)]
    for name in used:
        records.choose(name, "inputs", ("number",))
    order = np.argsort(_whole(records, time), kind="stable") if time else slice(None)
    table = np.stack([_filled(records, name, _whole(records, name)[order]) for name in used], axis=1)
    count = len(table)
    first = max(length, season)
    ends = {"train": round(count * 0.8), "validation": round(count * 0.9), "test": count}
    if ends["train"] - first - horizon < 1 or ends["validation"] == ends["train"] or count == ends["validation"]:
        raise ValueError(
            f"{records.name} has {count} places, too few for length {length}, season {season} and horizon {horizon}; "
            f"try --length={max(1, count // 10)}"
        )
    mean, scale = standardisation(table[: ends["train"]])
    scaled = ((table - mean) / scale).astype(np.float32)
    begins = {
        "train": np.arange(first, ends["train"] - horizon + 1),
        "validation": np.arange(ends["train"], ends["validation"], horizon),
        "test": np.arange(ends["validation"], count, horizon),
    }
    ahead = np.arange(horizon)

    def change(split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return f64[n, H] how far what came lies from the seasonal naive forecast, and which of it is in the split."""
        places = begins[split][:, None] + ahead[None]
        inside = places < ends[split]
        naive = places - season * (1 + ahead // season)[None]
        values = table[:, 0]
        return np.where(inside, values[np.minimum(places, count - 1)] - values[naive], 0.0), inside

    @cache
    def sources() -> dict[str, Source]:
        made = {}
        for split, starts in begins.items():
            past = scaled[starts[:, None] - length + np.arange(length)[None]]
            targets, inside = change(split)
            made[split] = columns(past, targets.astype(np.float32), inside.astype(np.float32))
        return made

    train_change, _ = change("train")
    fitted: dict[str, Any] = {
        "columns": used,
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "seasonal_naive": {split: _errors(*change(split)) for split in begins},
    }
    spec = Spec(
        inputs=jax.ShapeDtypeStruct((length, len(used)), np.float32),
        targets=jax.ShapeDtypeStruct((horizon,), np.float32),
        weights=(horizon,),
        sizes={split: len(starts) for split, starts in begins.items()},
        scale=float(train_change.std()) or 1.0,
    )
    return dataset_of(records, spec, lambda split: pick(sources(), split), fitted)


def _whole(records: Records, name: str) -> np.ndarray:
    """Return a column of all splits, one after another: time decides what is train, not the files."""
    records.choose(name, "time", ("number", "text"))
    return np.concatenate([np.asarray(records.column(split, name)) for split in records.sizes])


def _filled(records: Records, name: str, values: np.ndarray) -> np.ndarray:
    """Return f64[n] in which what is missing takes the last known value."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    if not known[0]:
        raise ValueError(
            f"{records.name} example 0: {name} is {values[0]}, and nothing is known before it; drop the first rows"
        )
    return values[np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))]


def _errors(change: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    errors = change[inside]
    return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
