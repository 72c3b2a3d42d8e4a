"""New rows of series as windows to forecast from: every place once, and as many after the last row as the horizon.

Shape legend: n windows, T places of the past, K columns, H places to forecast.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, Places
from fdl.data.modalities.new_examples import NewRows, read_rows, refuse_lacking
from fdl.data.modalities.series import filled, seasonal
from fdl.data.modalities.series_rows import Rows, labels_of, series_rows, whole


def new_series(dataset: Dataset, data: Any) -> NewRows:
    """Return the windows of new rows, in order of time; raise a UserError where none is long enough.

    data: a table file, a DataFrame or an Arrow table with the columns of training. Rows at the end without a target are
    places to forecast. Each forecast has its time, the series it is of and the value that is given.
    """
    fitted, parsing = dataset.fitted, dataset.parsing
    if "season" not in parsing or "time" not in fitted:
        raise UserError(
            f"{dataset.name} was trained on windows, or before fdl kept what a season is; give arrays of its format "
            f"{dataset.spec.inputs.shape}, or train anew"
        )
    used, time, group = list(fitted["columns"]), fitted["time"], fitted["group"]
    records = read_rows(data, parsing.get("schema", {}), "series")
    refuse_lacking(records, dataset, [name for name in (*used, time, group) if name])
    for name in used:
        records.choose(name, "inputs", ("number",))
    table = np.stack([np.asarray(whole(records, name), np.float64) for name in used], axis=1)
    if not np.isfinite(table[:, 0]).any():
        raise UserError(
            f"{records.name} has no number as {used[0]} in its {len(table):,} rows; give the values of the past"
        )
    rows = series_rows(records, time=time, group=group, gaps=parsing["gaps"], keep=np.ones(len(table), bool))
    table = table[rows.order]
    stops = np.array([start + _known(table[start:stop, 0]) for start, stop in rows.segments])
    past, known, notes = filled(table, rows, records.name, used)
    ahead = int((rows.segments[:, 1] - stops).sum())
    if ahead:
        notes = [note for note in notes if f"values of {used[0]} take" not in note]
        notes.append(f"{ahead} rows at the end have no {used[0]}: they are forecast")
    length, horizon, season = dataset.spec.inputs.shape[0], dataset.spec.targets.shape[0], parsing["season"]
    places, segment = _places(rows, stops, known, max(length, season), horizon)
    if not len(places):
        raise UserError(
            f"{records.name} has {int((stops - rows.segments[:, 0]).max())} known values of {used[0]} in a row, and a "
            f"forecast reads {max(length, season)} before it; give so many or more, such as the end of the series that "
            "was trained on"
        )
    scaled = _scaled(past, rows, fitted, group)
    at = np.minimum(places, len(table) - 1)
    given = np.where(places < rows.segments[segment, 1][:, None], table[at, 0], np.nan)
    return NewRows(
        inputs=scaled[places[:, :1] - length + np.arange(length)[None]],
        size=len(places),
        notes=(*rows.notes, *notes),
        places=Places(
            name=used[0],
            naive=past[seasonal(places[:, :1], season, horizon), 0],
            given=given,
            carried=labels_of(records, rows, places, segment, time),
        ),
    )


def _known(values: np.ndarray) -> int:
    """Return how many values there are, up to the last that is known."""
    return int(np.flatnonzero(np.isfinite(values)).max(initial=-1)) + 1


def _places(
    rows: Rows, stops: np.ndarray, known: np.ndarray, first: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return i64[n, H] the places that windows forecast, and i64[n] the segment of each.

    They end H places after the last value of each series, and go back from there in steps of H; those of a segment
    that a gap ends end with it.
    """
    begins, segments = [], []
    for number, ((start, stop), end) in enumerate(zip(rows.segments, stops, strict=True)):
        if not known[start:stop].any():
            continue
        later = number + 1 < len(rows.groups) and rows.groups[number + 1] == rows.groups[number]
        earliest = start + int(np.argmax(known[start:stop])) + first
        begin = np.arange(end - horizon if later else end, earliest - 1, -horizon)[::-1]
        begins.append(begin)
        segments.append(np.full(len(begin), number))
    if not begins:
        return np.zeros((0, horizon), np.int64), np.zeros(0, np.int64)
    return np.concatenate(begins)[:, None] + np.arange(horizon)[None], np.concatenate(segments)


def _scaled(table: np.ndarray, rows: Rows, fitted: Mapping[str, Any], group: str) -> np.ndarray:
    """Return f32[rows, K] by the scales of training."""
    scales = fitted.get("series", {"": fitted})
    if unseen := [name for name in rows.names if name not in scales]:
        raise UserError(
            f"{group} is {unseen[0]!r} in some row, and training knows the scales of {', '.join(list(scales)[:5])}"
            f"{', …' * (len(scales) > 5)} alone; leave such rows out, or train with them"
        )
    scaled = np.zeros(table.shape, np.float32)
    for (start, stop), number in zip(rows.segments, rows.groups, strict=True):
        scale = scales[rows.names[number]]
        scaled[start:stop] = np.nan_to_num((table[start:stop] - scale["mean"]) / scale["scale"])
    return scaled
