"""The rows of time series in order: sorted by time, one series per group, cut where the time leaps, split in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fdl.core.errors import UserError
from fdl.data.modalities.plan import named
from fdl.data.records import Column, Field, Records, is_missing

Gaps = Literal["split", "join"]
SPLIT_AT = {"train": 0.8, "validation": 0.9, "test": 1.0}
ROW, SERIES = "row", "series"  # what labels a place
_MONTH = 27 * 86_400e6  # microseconds; from here on a step may be of the calendar
_STEADY = 0.2  # steps of time may differ by this share: months have 28 to 31 days, and a day of spring 23 hours


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which rows of all splits together make series, in which order.

    order:    i64[n] row numbers, one series after another, each in order of time.
    segments: (start, stop) in `order` of rows that follow each other without a gap.
    ends:     split -> i64[segments] where its rows end in each; train comes first, then validation, then test.
    groups:   i64[segments] which series each segment is of, and their names.
    notes:    what was decided, a line each.
    """

    order: np.ndarray
    segments: np.ndarray
    ends: dict[str, np.ndarray]
    groups: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]


def whole(records: Records, name: str) -> np.ndarray:
    """Return a column of all splits, one after another: time decides what is train, not the files."""
    return np.concatenate([np.asarray(records.column(split, name)) for split in records.sizes])


def time_column(records: Records, time: str, used: Sequence[str], group: str) -> str:
    """Return the column that orders the rows: the one that is requested, or the only one of dates; "" for none."""
    if time:
        return records.choose(time, "time", ("date", "number"), besides=(*used, *([group] if group else [])))
    dates = [name for name, field in records.fields.items() if field.kind == "date" and name not in used]
    if len(dates) > 1:
        raise UserError(f"{records.name} has several columns of dates: {', '.join(dates)}; name one with --time")
    if not dates:
        return ""
    return records.choose(dates[0], "time", ("date",))


def series_rows(records: Records, *, time: str, group: str, gaps: Gaps, keep: np.ndarray) -> Rows:
    """Return the rows in order.

    time, group: columns, or "" for none. gaps: whether windows may reach over a leap in time. keep: rows that count.
    """
    rows = np.flatnonzero(keep)
    codes, names = _groups(records, group, rows)
    notes = [f"{len(names)} series by {group}"] if group else []
    if not time:
        order = np.argsort(codes, kind="stable")
        notes.append("no column of dates and no --time: the rows are in order of time as they stand")
        breaks = np.flatnonzero(np.diff(codes[order]) != 0) + 1
        bounds = np.concatenate([[0], breaks, [len(rows)]])
        segments = np.stack([bounds[:-1], bounds[1:]], axis=1)
        ends = {
            split: segments[:, 0] + np.round(share * np.diff(segments)[:, 0]).astype(np.int64)
            for split, share in SPLIT_AT.items()
        }
        groups = codes[order][segments[:, 0]]
        return Rows(order=rows[order], segments=segments, ends=ends, groups=groups, names=names, notes=tuple(notes))
    times = whole(records, time)
    _refuse_missing(records, time, times)
    place = _comparable(times)[rows]
    order = np.lexsort((np.arange(len(rows)), place, codes))
    if np.any(np.diff(order) < 0) and not group:
        notes.append(f"rows are sorted by {time}")
    _refuse_repeated(records, time, group, times[rows][order], codes[order], rows[order])
    leaps, step = _leaps(place[order], codes[order], records.fields[time])
    count = int((leaps & (np.diff(codes[order]) == 0)).sum())
    if count and gaps == "split":
        notes.append(f"{count} gaps in {time}, where it leaps by more than {step}: no window reaches over one")
    elif count:
        notes.append(f"{count} gaps in {time} are not looked at (--gaps=join)")
    new_group = np.diff(codes[order]) != 0
    bounds = np.concatenate([[0], np.flatnonzero(new_group | (leaps & (gaps == "split"))) + 1, [len(rows)]])
    segments = np.stack([bounds[:-1], bounds[1:]], axis=1)
    ends = _ends(place[order], segments)
    first, last = times[rows][order].min(), times[rows][order].max()
    notes.insert(0, f"{time} orders the rows: {_shown(first)} to {_shown(last)}, mostly every {step}")
    groups = codes[order][segments[:, 0]]
    return Rows(order=rows[order], segments=segments, ends=ends, groups=groups, names=names, notes=tuple(notes))


def _groups(records: Records, group: str, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    if not group:
        return np.zeros(len(rows), np.int64), ("",)
    records.choose(group, "group", ("text", "label", "number"))
    parts: list[Column] = [records.column(split, group) for split in records.sizes]
    names = sorted({name for part in parts for name in named(part)[1]})
    place = {name: number for number, name in enumerate(names)}
    codes = np.concatenate(
        [np.array([*(place[name] for name in known), -1])[codes] for codes, known in map(named, parts)]
    )
    if (codes[rows] < 0).any():
        row = int(rows[np.argmax(codes[rows] < 0)])
        raise UserError(f"{_at(records, row)}: {group} is missing; fill it in, or leave such rows out")
    return codes[rows], tuple(names)


def _ends(place: np.ndarray, segments: np.ndarray) -> dict[str, np.ndarray]:
    """Return where each split ends in each segment: one moment for all series, so that none sees another's future."""
    moments = np.unique(place)
    ends = {}
    for split, share in SPLIT_AT.items():
        until = round(len(moments) * share)
        limit = moments[until] if until < len(moments) else np.inf
        ends[split] = np.array(
            [start + np.searchsorted(place[start:stop], limit) for start, stop in segments], np.int64
        )
    return ends


def _leaps(place: np.ndarray, codes: np.ndarray, field: Field) -> tuple[np.ndarray, str]:
    """Return where the time leaps from one row to the next, bool[n - 1], and the usual step in words."""
    steps = np.diff(place)
    within = steps[np.diff(codes) == 0]
    if not len(within):
        return np.zeros(len(steps), bool), "step"
    step = float(np.median(within))
    leaps = steps > step * (1 + _STEADY)
    if field.kind == "date" and step == 86_400e6:  # from Friday to Monday is one step of working days
        days = place.astype("datetime64[us]").astype("datetime64[D]")
        weekend = (steps == 3 * step) & ((days[:-1].astype(np.int64) + 3) % 7 == 4)
        has_weekends = ((days.astype(np.int64) + 3) % 7 >= 5).any()
        leaps &= ~(weekend & (not has_weekends))
    return leaps, _duration(step) if field.kind == "date" else f"{step:g}"


def _duration(micros: float) -> str:
    for size, unit in ((86_400e6, "days"), (3_600e6, "hours"), (60e6, "minutes"), (1e6, "seconds")):
        if micros >= size:
            return unit[:-1] if micros == size else f"{micros / size:.4g} {unit}"
    return f"{micros:g} microseconds"


def _comparable(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[us]").astype(np.int64) if times.dtype.kind == "M" else times.astype(np.float64)


def _refuse_missing(records: Records, time: str, times: np.ndarray) -> None:
    gone = is_missing(times)
    if gone.any():
        where = _at(records, int(np.argmax(gone)))
        raise UserError(f"{where}: {time} is missing ({int(gone.sum())} rows); fill it in, or leave such rows out")


def _refuse_repeated(
    records: Records, time: str, group: str, times: np.ndarray, codes: np.ndarray, rows: np.ndarray
) -> None:
    twice = np.flatnonzero((times[1:] == times[:-1]) & (codes[1:] == codes[:-1]))
    if not len(twice):
        return
    first, second = int(rows[twice[0]]), int(rows[twice[0] + 1])
    fits = [name for name in records.fields if name not in (time, group) and _tells_apart(records, name, times, rows)]
    way = f"give --group={fits[0]}" if fits else "name the column that identifies each series with --group"
    raise UserError(
        f"{_at(records, second)}: {time} is {_shown(times[twice[0]])}, as in {_at(records, first)} ({len(twice)} times "
        f"in all); if the file holds several series, {way}, else keep one row for each time"
    )


def _tells_apart(records: Records, name: str, times: np.ndarray, rows: np.ndarray) -> bool:
    """Say whether a column of few values says which of several series a row is of."""
    field = records.fields[name]
    if field.left_out or field.kind not in ("text", "label", "number") or field.dtype.kind == "f":
        return False
    values = whole(records, name)[rows].astype(str)
    pairs = np.unique(np.stack([times.astype(str), values]), axis=1)
    return len(np.unique(values)) > 1 and pairs.shape[1] == len(rows)


def _at(records: Records, row: int) -> str:
    for split, size in records.sizes.items():
        if row < size:
            return records.at(split, row)
        row -= size
    raise AssertionError


def _shown(value: np.generic) -> str:
    return str(value).removesuffix(".000000").removesuffix("T00:00:00") if value.dtype.kind == "M" else f"{value:g}"


def segments_of(rows: Rows, places: np.ndarray) -> np.ndarray:
    """Return i64[n], the segment that windows of places i64[n, H] lie in."""
    found: np.ndarray = np.searchsorted(rows.segments[:, 0], places[:, 0], side="right") - 1
    return found


def labels_of(
    records: Records, rows: Rows, places: np.ndarray, segment: np.ndarray, time: str
) -> dict[str, np.ndarray]:
    """Return the series and the time of every place that is forecast, [n, H] each; places count from 0 without one.

    places: i64[n, H], which may go on after the last row. segment: i64[n]. time: a column, or "" for none.
    """
    labels: dict[str, np.ndarray] = {}
    if rows.names != ("",):
        names = np.array(rows.names, object)[rows.groups[segment]]
        labels[SERIES] = np.repeat(names[:, None], places.shape[1], axis=1)
    if not time:
        return {**labels, ROW: places - rows.segments[segment, 0][:, None]}
    times = whole(records, time)[rows.order]
    filled_in = np.empty(places.shape, times.dtype)
    for number, (start, stop) in enumerate(rows.segments):
        mine = segment == number
        group = rows.segments[rows.groups == rows.groups[number]]
        longest = group[np.argmax(np.diff(group)[:, 0])]
        more = int(places[mine].max(initial=0)) - int(stop) + 1
        there = np.concatenate([times[start:stop], later(times[slice(*longest)], times[stop - 1], max(0, more))])
        filled_in[mine] = there[places[mine] - start]
    if times.dtype.kind == "M" and (times == times.astype("datetime64[D]")).all():
        filled_in = filled_in.astype("datetime64[D]")  # written without a time of day
    return {**labels, time: filled_in}


def later(times: np.ndarray, last: Any, count: int) -> np.ndarray:
    """Return the next times after the last, as far from each other as these are: steps, working days or months."""
    coming: np.ndarray = np.asarray(_coming(times, last, np.arange(1, count + 1))).astype(times.dtype)
    return coming


def _coming(times: np.ndarray, last: Any, ahead: Any) -> Any:
    if times.dtype.kind != "M":
        return last + ahead * (np.median(np.diff(times)) if len(times) > 1 else 1)
    exact: Any = times.astype("datetime64[us]")
    end: Any = last.astype("datetime64[us]")
    day = np.timedelta64(1, "D")
    if len(times) < 2:
        return end + ahead * day
    step = np.median(np.diff(exact).astype(np.int64))
    if step >= _MONTH:
        for shift in (np.timedelta64(0, "D"), day):  # the same day of each month, or the last
            months = (exact + shift).astype("datetime64[M]")
            within = exact + shift - months
            if (within == within[0]).all():
                each = int(np.median(np.diff(months).astype(np.int64)))
                moved = (end + shift).astype("datetime64[M]") + ahead * each
                return moved.astype("datetime64[us]") + within[0] - shift
    if step == 86_400e6 and len(times) > 5 and np.is_busday(exact.astype("datetime64[D]")).all():
        return np.busday_offset(end.astype("datetime64[D]"), ahead) + (end - end.astype("datetime64[D]"))
    return end + (ahead * int(step)).astype("timedelta64[us]")
