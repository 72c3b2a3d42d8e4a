import numpy as np
import pytest

from fdl.data.datasets.addition import addition
from fdl.data.modalities.pairs import pairs
from fdl.data.modalities.series import Windows, series
from fdl.data.records import Field, Records
from fdl.data.tokenizer import END, START


def line(values, splits=None):
    columns = {"value": np.asarray(values, np.float64), "day": -np.arange(len(values))}
    return Records(
        name="line",
        fields={"value": Field(kind="number"), "day": Field(kind="number", dtype=np.dtype(np.int64))},
        sizes={"train": len(values)},
        read=lambda split, indices, names: {name: columns[name][indices] for name in names},
    )


@pytest.mark.parametrize(("horizon", "season"), [(1, 1), (3, 1), (4, 7)])
def test_no_window_sees_the_future(horizon, season):
    values = np.arange(200.0)  # each value is its own place in time
    data = series(line(values), target="value", windows=Windows(length=10, horizon=horizon, season=season))
    mean, scale = data.fitted["mean"][0], data.fitted["scale"][0]
    ends = {"train": 160, "validation": 180, "test": 200}
    seen = {}
    for split in ends:
        source = data.load(split)
        batch = source.fetch(np.arange(len(source)))
        past = np.round(batch.inputs[..., 0] * scale + mean)
        naive_place = past[:, -1:] + 1 + np.arange(horizon) - season * (1 + np.arange(horizon) // season)
        coming = np.round(batch.targets + naive_place)
        kept = batch.weights > 0
        assert np.all(coming[kept] == (past[:, -1:] + 1 + np.arange(horizon))[kept])
        assert past.max() < ends[split]
        assert coming[kept].max() < ends[split]
        seen[split] = sorted(coming[kept].astype(int).tolist())
    assert seen["validation"] == list(range(160, 180))  # each place is forecast exactly once
    assert seen["test"] == list(range(180, 200))
    assert max(seen["train"]) == 159


def test_the_naive_forecast_is_exact_where_seasons_repeat():
    data = series(line(np.tile([1.0, 5.0, 2.0], 60)), target="value", windows=Windows(length=6, horizon=3, season=3))
    assert data.fitted["seasonal_naive"]["test"] == {"rmse": 0.0, "mae": 0.0}


def test_rows_are_sorted_by_time_and_holes_take_the_last_value():
    values = np.arange(100.0)
    values[50] = np.nan
    data = series(line(values), target="value", time="day", windows=Windows(length=4))
    first = data.load("train").fetch(np.arange(1)).inputs[0, :, 0] * data.fitted["scale"][0] + data.fitted["mean"][0]
    assert first.round().tolist() == [99, 98, 97, 96]
    past = data.load("train").fetch(np.arange(60)).inputs[..., 0] * data.fitted["scale"][0] + data.fitted["mean"][0]
    assert np.isfinite(past).all()
    assert 50 not in past.round()


def test_too_short_a_series_is_refused():
    with pytest.raises(ValueError, match="try --length"):
        series(line(np.arange(20.0)), target="value", windows=Windows(length=64))


@pytest.mark.parametrize("wrong", ["length", "horizon", "season"])
def test_places_are_counted_from_one(wrong):
    with pytest.raises(ValueError, match=f"{wrong} 0.* give 1 or more of each"):
        series(line(np.arange(200.0)), target="value", windows=Windows(**{wrong: 0}))


def test_a_pair_is_taught_by_forcing():
    said, answers = [f"ab{i}" for i in range(30)], [f"x{i}" for i in range(30)]
    columns = {"said": said, "answer": answers}
    records = Records(
        name="made",
        fields={"said": Field(kind="text"), "answer": Field(kind="text")},
        sizes={"train": 30},
        read=lambda split, indices, names: {name: [columns[name][i] for i in indices] for name in names},
    )
    data = pairs(records, inputs="said", target="answer")
    batch = data.load("train").fetch(np.arange(5))
    written, targets, weights = batch.inputs["decoder_inputs"], batch.targets, batch.weights
    assert np.all(written[:, 0] == START)
    assert np.array_equal(written[:, 1:], targets[:, :-1])
    ends = np.argmax(targets == END, axis=1)
    assert weights.sum(1).tolist() == (ends + 1).tolist()


@pytest.mark.parametrize("aligned", [False, True])
def test_sums_are_right_and_none_is_both_learnt_and_asked(aligned):
    records = addition(2, aligned=aligned, sizes={"train": 300, "validation": 50, "test": 100})
    seen = {}
    for split, size in records.sizes.items():
        asked, answers = records.column(split, "sum"), records.column(split, "answer")
        for text, answer in zip(asked, answers, strict=True):
            columns = text.split()  # units first, the first number's digit above the second's
            terms = ["".join(digits) for digits in zip(*columns[::-1], strict=True)] if aligned else text.split("+")
            assert sum(map(int, terms)) == int(answer[::-1] if aligned else answer)
            assert len(answer) == 3
        seen[split] = set(asked)
        assert len(seen[split]) == size
    assert len(set.union(*seen.values())) == sum(records.sizes.values())


def test_fewer_sums_than_are_wanted_are_refused():
    with pytest.raises(ValueError, match="give 3 to 9"):
        addition(2)
