"""Series that come as windows: a row holds the past and what came next; rows that overlap never straddle two splits.

Shape legend: B batch, T places of the past, K columns, H places to forecast.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import ceil_div
from fdl.core.types import SPLITS
from fdl.data.dataset import Dataset, Places, Source, Spec, columns, dataset_of
from fdl.data.modalities.series_rows import ROW
from fdl.data.modalities.standardise import standardisation
from fdl.data.records import Records
from fdl.data.split import pick, split_sizes

PAST, FUTURE, AHEAD = "past", "future", "ahead"  # ahead: places from the last of the past
_LOOKED_AT = 200  # rows from which the stride is inferred


def is_windowed(records: Records, target: str) -> bool:
    """Say whether a set holds windows: arrays `past` and `future`, the latter being what is to be forecast."""
    named = target in ("", FUTURE) and PAST in records.fields and FUTURE in records.fields
    return named and all(records.fields[name].fits(("array",)) for name in (PAST, FUTURE))


def windowed(records: Records, *, season: int = 1) -> Dataset:
    """Return forecasts of the first column of `past` [n, T] or [n, T, K]: inputs f32[B, T, K], targets f32[B, H].

    Targets are the change against the seasonal naive forecast, as `series` has them. Rows are in order of time; what
    lacks of validation and test is the last tenth and the tenth before it, and rows that overlap the next split's are
    left out.
    """
    parts = {split: _arrays(records, split) for split in records.sizes}
    length, horizon = parts["train"][0].shape[1], parts["train"][1].shape[1]
    if not 1 <= season <= length:
        raise UserError(f"season {season} does not lie in the {length} places of past; give 1 to {length}")
    parts, notes = _split(parts, length + horizon, records.name)
    past = parts["train"][0]
    mean, scale = standardisation(past.reshape(-1, past.shape[-1]))
    repeated = length - season + np.arange(horizon) % season

    @cache
    def places(split: str) -> Places:
        before, after = pick(parts, split)
        numbers = np.repeat(np.arange(len(after))[:, None], horizon, axis=1)
        ahead = np.broadcast_to(np.arange(1, horizon + 1), after.shape)
        naive = before[:, repeated, 0]
        return Places(name=FUTURE, naive=naive, given=after, carried={ROW: numbers, AHEAD: ahead})

    def change(split: str) -> np.ndarray:
        there = places(split)
        changed: np.ndarray = there.given - there.naive
        return changed

    @cache
    def sources() -> dict[str, Source]:
        return {
            split: columns(((before - mean) / scale).astype(np.float32), change(split).astype(np.float32))
            for split, (before, _) in parts.items()
        }

    errors = {split: change(split) for split in parts}
    fitted = {
        "columns": [PAST, FUTURE],
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "seasonal_naive": {
            split: {"rmse": float(np.sqrt(np.mean(each**2))), "mae": float(np.mean(np.abs(each)))}
            for split, each in errors.items()
        },
    }
    spec = Spec(
        inputs=jax.ShapeDtypeStruct(past.shape[1:], np.float32),
        targets=jax.ShapeDtypeStruct((horizon,), np.float32),
        sizes={split: len(before) for split, (before, _) in parts.items()},
        scale=float(errors["train"].std()) or 1.0,
    )
    said = f"windows as they are: {length} places of past, {horizon} of future"
    made = dataset_of(records, spec, lambda split: pick(sources(), split), fitted)
    return replace(made, notes=(*records.notes, said, *notes), places=places)


def _arrays(records: Records, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return past f64[n, T, K] and future f64[n, H] of a split."""
    past = np.asarray(records.column(split, PAST), np.float64)
    future = np.asarray(records.column(split, FUTURE), np.float64)
    past = past[..., None] if past.ndim == 2 else past
    future = future[..., 0] if future.ndim == 3 and future.shape[-1] == 1 else future
    if past.ndim != 3 or future.ndim != 2:
        raise UserError(
            f"{records.name}: past holds {past.shape[1:]} and future {future.shape[1:]} each; give [n, T] or "
            "[n, T, K], and [n, H]"
        )
    for name, values in ((PAST, past), (FUTURE, future)):
        wrong = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if wrong.any():
            where = records.at(split, int(np.argmax(wrong)))
            raise UserError(f"{where}: {name} is not finite throughout; leave such rows out")
    return past, future


def _split(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]], reach: int, name: str
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Return the windows of each split, and what is said of it; `reach` places are in a row."""
    lacking = [split for split in SPLITS[1:] if split not in parts]
    if not lacking:
        return dict(parts), []
    past, future = parts["train"]
    stride = _stride(past)
    between = ceil_div(reach, stride) - 1 if stride else 0
    held = split_sizes(len(past), dict.fromkeys(lacking, 0.1))
    made, end = dict(parts), len(past)
    for split in reversed(lacking):
        made[split] = (past[end - held[split] : end], future[end - held[split] : end])
        end -= held[split] + between
    if end < 1 or any(not len(before) for before, _ in made.values()):
        raise UserError(f"{name} has {len(past)} windows, too few to hold some out; give more, or a file per split")
    made["train"] = (past[:end], future[:end])
    if not stride:
        return made, []
    lost = between * len(lacking)
    return made, [f"each row begins {stride} places after the one before: {lost} that straddle two splits are left out"]


def _stride(past: np.ndarray) -> int:
    """Return how many places a row begins after the one before, 0 where they do not overlap."""
    some = past[:_LOOKED_AT]
    for stride in range(1, past.shape[1]):
        if len(some) > 1 and np.array_equal(some[1:, :-stride], some[:-1, stride:]):
            return stride
    return 0
