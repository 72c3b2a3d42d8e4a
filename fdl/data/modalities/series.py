"""Time series: windows of the past as inputs, what came next as targets, split in time so that nothing sees the future.

Shape legend: B batch, T places of the past, K columns, H places to forecast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, Places, Source, Spec, columns, dataset_of
from fdl.data.modalities.kept import keeps, no_more
from fdl.data.modalities.series_rows import Gaps, Rows, labels_of, segments_of, series_rows, time_column, whole
from fdl.data.modalities.standardise import standardisation
from fdl.data.modalities.windowed import is_windowed, windowed
from fdl.data.records import Records
from fdl.data.split import pick


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows that a series is cut into.

    length:  T, places that are read. horizon: H, places that are forecast.
    season:  places after which a season repeats; 1 where there is none.
    """

    length: int = 64
    horizon: int = 1
    season: int = 1

    def counts(self) -> tuple[int, int, int]:
        """Return length, horizon and season; raise a UserError where one counts nothing."""
        length, horizon, season = self.length, self.horizon, self.season
        if min(length, horizon, season) < 1:
            raise UserError(
                f"length {length}, horizon {horizon} and season {season} count places; give 1 or more of each"
            )
        return length, horizon, season


NEXT_PLACE = Windows()


@keeps(no_more)
def series(
    records: Records,
    *,
    inputs: tuple[str, ...] = (),
    target: str = "",
    time: str = "",
    group: str = "",
    gaps: Gaps = "split",
    windows: Windows = NEXT_PLACE,
) -> Dataset:
    """Return forecasts of one column: inputs f32[B, T, K], targets and weights f32[B, H].

    The target is the *change* against the seasonal naive forecast, which repeats the last season that is known (the
    last value, where `season` is 1): its errors are those of the forecast, in the column's own unit, and a model that
    answers 0 is as good as that forecast. `fitted["seasonal_naive"]` keeps how good that is on each split.

    time:  a column of dates or numbers to sort by; the only one of dates where empty, and the rows as they stand where
           there is none. group: a column that says which of several series a row is of.
    gaps:  whether windows may reach over a leap in time ("join") or not.
    Sets of windows, arrays `past` and `future`, are taken as they are (see `windowed`).
    Columns besides the target that are named as inputs are only read up to the present. The last 10 % in time are the
    test, the 10 % before them the validation. A missing number takes the last known one of its series, and is never a
    target. Training windows begin at every place; evaluation forecasts every place once, in steps of H.
    """
    length, horizon, season = windows.counts()
    if is_windowed(records, target):
        return windowed(records, season=season)
    used = _used(records, inputs, records.choose(target, "target", ("number",), besides=(time, group)))
    time = time_column(records, time, used, group)
    table = np.stack([np.asarray(whole(records, name), np.float64) for name in used], axis=1)
    rows = series_rows(records, time=time, group=group, gaps=gaps, keep=np.ones(len(table), bool))
    table, known, notes = filled(table[rows.order], rows, records.name, used)
    cut = _windows(rows, length=length, horizon=horizon, season=season, known=known)
    _refuse_few(records, cut, rows, length=length, horizon=horizon, season=season)
    scaled, scales = _standardised(table, rows)
    splits = {split: _Windows(table[:, 0], places, inside, season) for split, (places, inside) in cut.items()}

    @cache
    def sources() -> dict[str, Source]:
        return {split: part.source(scaled, length) for split, part in splits.items()}

    fitted: dict[str, Any] = {
        "columns": used,
        "time": time,
        "group": group,
        **scales,
        "seasonal_naive": {split: part.errors() for split, part in splits.items()},
    }
    spec = _spec(splits, (length, len(used)), horizon)
    made = dataset_of(records, spec, lambda split: pick(sources(), split), fitted)

    @cache
    def places(split: str) -> Places:
        part = pick(splits, split)
        labels = labels_of(records, rows, part.places, segments_of(rows, part.places), time)
        return Places(name=used[0], naive=part.naive(), given=part.given(), carried=labels)

    parsing = {"season": season, "gaps": gaps, "schema": dict(records.schema)}
    return replace(made, notes=(*records.notes, *rows.notes, *notes), parsing=parsing, places=places)


def _used(records: Records, inputs: tuple[str, ...], goal: str) -> list[str]:
    """Return the columns to read, the target first; refuse those that hold something else or stand-ins for nothing."""
    used = [goal, *(name for name in inputs if name != goal)]
    for name in used:
        records.choose(name, "inputs", ("number",))
        if records.fields[name].suspect:
            raise UserError(records.fields[name].suspect)
    return used


class _Windows:
    """The windows of one split: i64[n, H] the places to forecast, and bool[n, H] which of them count."""

    def __init__(self, values: np.ndarray, places: np.ndarray, inside: np.ndarray, season: int) -> None:
        self.values, self.places, self.inside, self.season = values, places, inside, season

    def naive(self) -> np.ndarray:
        """Return f64[n, H], the seasonal naive forecast."""
        naive: np.ndarray = self.values[seasonal(self.places[:, :1], self.season, self.places.shape[1])]
        return naive

    def given(self) -> np.ndarray:
        """Return f64[n, H], what came; NaN where it does not count."""
        return np.where(self.inside, self.values[np.minimum(self.places, len(self.values) - 1)], np.nan)

    def change(self) -> np.ndarray:
        """Return f64[n, H]: how far what came lies from the seasonal naive forecast, 0 where it does not count."""
        return np.where(self.inside, self.given() - self.naive(), 0.0)

    def source(self, scaled: np.ndarray, length: int) -> Source:
        """Return the windows of f32[n, K] with the changes that come after them."""
        past = scaled[self.places[:, :1] - length + np.arange(length)[None]]
        return columns(past, self.change().astype(np.float32), self.inside.astype(np.float32))

    def errors(self) -> dict[str, float]:
        """Return how good the seasonal naive forecast is."""
        errors = self.change()[self.inside]
        return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}


def seasonal(first: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Return i64[n, H], the places in the last known season that repeat H places from the first on, i64[n, 1]."""
    places: np.ndarray = first - season + np.arange(horizon) % season
    return places


def _spec(splits: Mapping[str, _Windows], inputs: tuple[int, int], horizon: int) -> Spec:
    """Return the spec of windows with these inputs [T, K]; targets are scaled by how far train moves."""
    train = splits["train"]
    return Spec(
        inputs=jax.ShapeDtypeStruct(inputs, np.float32),
        targets=jax.ShapeDtypeStruct((horizon,), np.float32),
        weights=(horizon,),
        sizes={split: len(part.places) for split, part in splits.items()},
        scale=float(train.change()[train.inside].std()) or 1.0,
    )


def filled(table: np.ndarray, rows: Rows, name: str, used: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return f64[n, K] in which what is missing takes the last value of its segment, `known`, and notes.

    known: bool[n], True where the target was there and everything before it in the segment is known.
    """
    present = np.isfinite(table)
    filled, leading = table.copy(), np.zeros(len(table), bool)
    for start, stop in rows.segments:
        part = present[start:stop]
        last = np.maximum.accumulate(np.where(part, np.arange(stop - start)[:, None], -1), axis=0)
        filled[start:stop] = np.take_along_axis(table[start:stop], np.maximum(last, 0), axis=0)
        leading[start:stop] = (last < 0).any(1)
    notes = []
    for column, label in enumerate(used):
        count = int((~present[:, column] & ~leading).sum())
        if count:
            notes.append(f"{count} missing values of {label} take the one before; none is a target")
    if leading.any():
        notes.append(f"{int(leading.sum())} rows are left out: nothing is known before them")
    if leading.all():
        raise UserError(f"{name} has no row in which all of {', '.join(used)} are known; give other columns")
    filled[leading] = np.nan
    return filled, present[:, 0] & ~leading, notes


def _windows(
    rows: Rows, *, length: int, horizon: int, season: int, known: np.ndarray
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Return of each split i64[n, H] the places that windows forecast, and bool[n, H] which of them count."""
    first, ahead = max(length, season), np.arange(horizon)
    made = {}
    for split in rows.ends:
        starts, stops = [], []
        for number, (start, stop) in enumerate(rows.segments):
            unknown = int(np.argmax(known[start:stop])) if known[start:stop].any() else int(stop - start)
            begin = _begin(rows, split, number)
            end = int(rows.ends[split][number])
            earliest = max(begin, int(start) + unknown + first)
            places = np.arange(earliest, end - horizon + 1) if split == "train" else np.arange(earliest, end, horizon)
            starts.append(places)
            stops.append(np.full(len(places), end))
        begins, limits = np.concatenate(starts).astype(np.int64), np.concatenate(stops)
        places = begins[:, None] + ahead[None]
        inside = (places < limits[:, None]) & known[np.minimum(places, len(known) - 1)]
        made[split] = (places[inside.any(1)], inside[inside.any(1)])
    return made


def _begin(rows: Rows, split: str, segment: int) -> int:
    """Return where the rows of a split begin in a segment: where those of the one before end."""
    before = list(rows.ends)[: list(rows.ends).index(split)]
    return int(rows.ends[before[-1]][segment] if before else rows.segments[segment, 0])


def _refuse_few(
    records: Records, windows: Mapping[str, Any], rows: Rows, *, length: int, horizon: int, season: int
) -> None:
    empty = [split for split, (places, _) in windows.items() if not len(places)]
    if empty:
        longest = int(np.diff(rows.segments).max())
        ways = f"try --length={max(1, longest // 10)}"
        if len(rows.segments) > len(set(rows.groups.tolist())):
            ways += ", or --gaps=join"
        raise UserError(
            f"{records.name} has {len(rows.order)} places, the most in one go {longest}: too few for length {length}, "
            f"season {season} and horizon {horizon} in {' and '.join(empty)}; {ways}"
        )


def _standardised(table: np.ndarray, rows: Rows) -> tuple[np.ndarray, dict[str, Any]]:
    """Return f32[n, K] and the scales, each series by its own train: their levels differ, their movements less."""
    scaled, scales = np.zeros(table.shape, np.float32), {}
    whole_train = np.concatenate(
        [np.arange(start, end) for (start, _), end in zip(rows.segments, rows.ends["train"], strict=True)]
    )
    for number, name in enumerate(rows.names):
        segments = np.flatnonzero(rows.groups == number)
        mine = np.concatenate([np.arange(*rows.segments[segment]) for segment in segments])
        train = np.intersect1d(mine, whole_train)
        mean, scale = standardisation(table[train if len(train) else whole_train])
        scaled[mine] = np.nan_to_num((table[mine] - mean) / scale)
        scales[name] = {"mean": mean.tolist(), "scale": scale.tolist()}
    return scaled, scales[""] if rows.names == ("",) else {"series": scales}
