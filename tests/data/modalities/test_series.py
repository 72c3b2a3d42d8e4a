import datetime as dt

import numpy as np
import pytest

from fdl.data.modalities.series import Windows, series
from fdl.data.readers.find import find
from fdl.data.readers.table_files import reading


def write(path, rows, header="date,v"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return find(str(path))


def daily(count, start=dt.date(2018, 1, 1), every=1):
    return [start + dt.timedelta(days=every * i) for i in range(count)]


def seen(data, split):
    """Return the raw values of the windows of a split: the past, what was to come, and which of it counts."""
    source = data.load(split)
    batch = source.fetch(np.arange(len(source)))
    past = batch.inputs[..., 0] * data.fitted["scale"][0] + data.fitted["mean"][0]
    return past, batch.targets + past[:, -1:], batch.weights


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y", "%d-%b-%Y", "%Y-%m-%dT00:00:00+02:00"])
@pytest.mark.parametrize("newest_first", [False, True])
def test_dates_order_a_series_however_they_are_written(tmp_path, form, newest_first):
    rows = [(day.strftime(form), i) for i, day in enumerate(daily(156, every=7))]
    records = write(tmp_path / "a.csv", rows[::-1] if newest_first else rows)
    data = series(records, target="v", windows=Windows(length=4))  # the only column of dates is taken
    past, coming, weights = seen(data, "train")
    assert past.max() < 125
    assert np.allclose(coming[weights > 0], past[:, -1] + 1, atol=1e-3)
    assert data.fitted["seasonal_naive"]["test"]["rmse"] == 1
    assert any("date orders the rows: 2018" in note or "date orders the rows: 2017" in note for note in data.notes)
    assert any("sorted" in note for note in data.notes) == newest_first


def test_text_that_is_no_date_orders_nothing(tmp_path):
    records = write(tmp_path / "a.csv", [("abc"[i % 3] + "x", i / 7) for i in range(60)])
    with pytest.raises(ValueError, match=r"'date' of a \(text\) is not date or number"):
        series(records, target="v", time="date", windows=Windows(length=4))


def test_a_day_that_may_be_a_month_is_refused_until_the_format_is_given(tmp_path):
    rows = [
        (f"{day:02d}/{month:02d}/{year}", year + month)
        for year in range(2000, 2012)
        for month in (1, 2)
        for day in (3, 4)
    ]
    with pytest.raises(ValueError, match=r"03/01/2000 may be %d/%m/%Y or %m/%d/%Y; give --dialect=dates=%d/%m/%Y"):
        series(write(tmp_path / "a.csv", rows), target="v", windows=Windows(length=4))
    records = find(str(tmp_path / "a.csv"), how=reading("dates=%d/%m/%Y"))
    assert (
        series(records, target="v", gaps="join", windows=Windows(length=4))
        .notes[1]
        .startswith("date orders the rows: 2000-01-03")
    )


def test_several_series_in_one_file_need_a_group_and_share_the_moment_that_divides_them(tmp_path):
    rows = [(day, shop, 1000 * shop + i) for shop in (3, 1, 2) for i, day in enumerate(daily(100))]
    records = write(tmp_path / "a.csv", rows, "date,shop,v")
    with pytest.raises(ValueError, match=r"line 102: date is 2018-01-01, as in .*line 2 .*give --group=shop"):
        series(records, target="v", windows=Windows(length=5))
    data = series(records, target="v", group="shop", windows=Windows(length=5))
    assert data.spec.sizes == {"train": 3 * 75, "validation": 30, "test": 30}
    means = {name: scales["mean"][0] for name, scales in data.fitted["series"].items()}
    assert means == {"1": 1039.5, "2": 2039.5, "3": 3039.5}  # each of its own first 80 days
    for split in data.spec.sizes:
        batch = data.load(split).fetch(np.arange(data.spec.sizes[split]))
        assert np.allclose(batch.targets, 1)  # no window reaches from one shop into the next
        assert np.abs(batch.inputs).max() < 3


def test_no_window_reaches_over_a_gap_unless_it_is_asked_for(tmp_path):
    days = [day for i, day in enumerate(daily(200)) if i % 20 < 15]
    records = write(tmp_path / "a.csv", [(day, (day - days[0]).days) for day in days])
    split = series(records, target="v", windows=Windows(length=4))
    past, _, _ = seen(split, "train")
    assert np.allclose(np.diff(past, axis=1), 1, atol=1e-3)
    assert any("9 gaps in date" in note for note in split.notes)
    joined = series(records, target="v", gaps="join", windows=Windows(length=4))
    assert np.diff(seen(joined, "train")[0], axis=1).max() > 5
    with pytest.raises(ValueError, match=r"the most in one go 15: too few for length 20.*--gaps=join"):
        series(records, target="v", windows=Windows(length=20))


@pytest.mark.parametrize("every", ["working days", "months", "years"])
def test_calendars_have_no_gaps(tmp_path, every):
    days = {
        "working days": [day for day in daily(200) if day.weekday() < 5],
        "months": [dt.date(2000 + i // 12, 1 + i % 12, 1) for i in range(140)],
        "years": [dt.date(1800 + i, 7, 1) for i in range(140)],
    }[every]
    data = series(
        write(tmp_path / "a.csv", [(day, i / 2) for i, day in enumerate(days)]), target="v", windows=Windows(length=4)
    )
    assert not any("gap" in note for note in data.notes)


def test_a_value_that_stands_for_a_missing_one_is_refused_by_name(tmp_path):
    rows = [(day, -999 if i % 10 == 5 else i) for i, day in enumerate(daily(200))]
    with pytest.raises(ValueError, match=r"v is -999 in 20 rows.*--dialect=missing=-999"):
        series(write(tmp_path / "a.csv", rows), target="v", windows=Windows(length=4))
    data = series(find(str(tmp_path / "a.csv"), how=reading("missing=-999")), target="v", windows=Windows(length=4))
    past, coming, weights = seen(data, "train")
    assert past.min() >= 0
    assert not np.isin(np.round(coming[weights > 0]), np.arange(5, 200, 10)).any()  # what was not measured is no target
    taken = series(
        find(str(tmp_path / "a.csv"), how=reading(roles=["v:number"])), target="v", windows=Windows(length=4)
    )
    assert seen(taken, "train")[0].min() < -900


def test_what_nothing_comes_before_is_left_out_and_counted(tmp_path):
    rows = [(day, "" if i < 3 or i == 50 else i) for i, day in enumerate(daily(200))]
    data = series(write(tmp_path / "a.csv", rows), target="v", windows=Windows(length=4))
    assert "3 rows are left out: nothing is known before them" in data.notes
    assert "1 missing values of v take the one before; none is a target" in data.notes
    past, coming, weights = seen(data, "train")
    assert past.min() >= 3 - 1e-3
    assert len(coming[weights > 0]) == 160 - 7 - 1


@pytest.mark.parametrize(("stride", "kind"), [(1, "npz"), (3, "npz"), (7, "npz"), (1, "parquet")])
def test_windows_that_overlap_never_straddle_two_splits(tmp_path, stride, kind):
    values = np.arange(700.0)  # each value is its own place in time
    starts = np.arange(0, 690, stride)
    past, future = (values[starts[:, None] + offsets] for offsets in (np.arange(5), 5 + np.arange(2)))
    if kind == "npz":
        np.savez(tmp_path / "a.npz", past=past, future=future)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"past": list(past), "future": list(future)}), tmp_path / "a.parquet")
    data = series(find(str(tmp_path / f"a.{kind}"), kind="series"))
    assert data.spec.inputs.shape == (5, 1)
    assert data.spec.targets.shape == (2,)
    places = {}
    for split in ("train", "validation", "test"):
        raw, coming, _ = seen(data, split)
        places[split] = set(np.round(np.concatenate([raw, coming], axis=1)).ravel().astype(int).tolist())
    assert max(places["train"]) < min(places["validation"])
    assert max(places["validation"]) < min(places["test"])
    assert any("straddle" in note for note in data.notes) == (stride < 5)
    assert data.fitted["seasonal_naive"]["test"]["mae"] == 1.5
