"""New rows of a series are forecast as training's were: scaled by its plan, every place once, and then what comes."""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pandas
import pytest

import fdl
from fdl.core.errors import UserError
from fdl.data.modalities.series_rows import later
from fdl.modes.export import export
from fdl.modes.predict import predict, predict_new
from fdl.trained import restored_experiment


def sales(first: int, count: int) -> pandas.DataFrame:
    places = np.arange(first, first + count)
    days = [(dt.date(2023, 1, 1) + dt.timedelta(days=int(place))).isoformat() for place in places]
    return pandas.DataFrame({"day": days, "sold": 100 + 20 * np.sin(places * 2 * np.pi / 7) + 0.1 * places})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("series")
    sales(0, 200).to_csv(home / "sales.csv", index=False)
    knobs = {"target": "sold", "length": 14, "horizon": 3, "season": 7, "width": 8, "epochs": 5.0}
    made = fdl.load("series", dataset=str(home / "sales.csv"), **knobs)
    lines = []
    fdl.train(replace(made, executor="jit"), home / "run", log=lines.append)
    assert any(line.startswith("the linear part of the model is ridge regression of train") for line in lines)
    return made, home / "run"


def test_forecasts_are_those_of_the_test_split_and_go_on_behind_it(run):
    made, folder = run
    trained = fdl.restore(folder)
    found = trained(sales(0, 200))
    assert found["value"].shape == found["day"].shape == (63, 3)
    assert str(found["day"][0, 0]).startswith("2023-01-15")  # the first with 14 days before it: 186 left are 62 windows
    assert [str(day)[:10] for day in found["day"][-1]] == ["2023-07-20", "2023-07-21", "2023-07-22"]
    assert np.abs(found["value"][-1] - sales(200, 3)["sold"]).max() < 3  # a naive one is wrong by 0.7 at most
    test = made.dataset.load("test").fetch(np.arange(1))  # forecasts day 180, in the dataset's own format
    change = trained(test.inputs)["change"]
    same = trained(sales(150, 30))["value"][-1]  # of which the last window lies behind day 179
    np.testing.assert_allclose(same, sales(173, 3)["sold"] + change[0], rtol=1e-6)
    after = trained(sales(40, 160))["value"]  # other rows, the same future
    np.testing.assert_allclose(after[-1], found["value"][-1], rtol=1e-6)


def test_a_file_that_goes_on_is_forecast_by_the_folder_alone(run, tmp_path):
    folder, lines = run[1], []
    file = sales(170, 40).astype({"sold": object})
    file.loc[38:, "sold"] = None  # the days to forecast, as a competition's file has them
    file.to_csv(tmp_path / "next.csv", index=False)
    out = predict_new(restored_experiment(folder), folder, str(tmp_path / "next.csv"), log=lines.append)
    assert "2 rows at the end have no sold: they are forecast" in lines
    assert [line.split()[1] for line in lines[-4:-1]] == ["2023-07-28", "2023-07-29", "2023-07-30"]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[-1]["day"] == "2023-07-30"  # as the file has them
    assert list(rows[0]) == ["day", "sold (given)", "sold"]
    assert [row["day"] for row in rows] == sorted({row["day"] for row in rows})  # every place once
    assert [row["sold (given)"] is None for row in rows] == [False] * (len(rows) - 3) + [True] * 3
    errors = [abs(row["sold"] - row["sold (given)"]) for row in rows[:-3]]
    assert np.mean(errors) < 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (sales(0, 13), "has 13 known values of sold in a row, and a forecast reads 14 before it"),
        (sales(0, 30).drop(columns="day"), "lacks day, which sales was trained on; its columns are sold"),
        (sales(0, 30).assign(sold="x"), "the data has no number as sold in its 30 rows"),
        (sales(0, 0), "the data"),
        (np.zeros((2, 5, 1)), "ndarray is no table"),
    ],
)
def test_rows_that_cannot_be_forecast_are_one_line(run, data, message):
    with pytest.raises(UserError, match=message):
        fdl.restore(run[1])(data)


def test_a_split_is_forecast_in_the_columns_unit_a_line_for_each_day(run, tmp_path):
    made, folder = run
    lines = []
    out = predict(made, folder, output=str(tmp_path / "test.jsonl"), log=lines.append)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["day"] for row in rows] == ["2023-06-30", *(f"2023-07-{day:02}" for day in range(1, 20))]
    assert lines[-1].endswith(f"{len(rows)} predictions in {out}")
    given = sales(0, 200).set_index("day")["sold"]
    np.testing.assert_allclose([row["sold (given)"] for row in rows], given[[row["day"] for row in rows]])
    source = made.dataset.load("test")
    change = fdl.restore(folder)(source.fetch(np.arange(len(source))).inputs)["change"]
    naive = given[[f"2023-06-{day}" for day in range(23, 26)]] + change[0]  # a season before the first three
    np.testing.assert_allclose([row["sold"] for row in rows[:3]], naive)


def test_windows_of_a_set_are_forecast_in_its_unit(tmp_path):
    level = np.arange(60.0)[:, None] * 10
    past, future = level + np.arange(8), level + np.arange(8, 10)
    np.savez(tmp_path / "windows.npz", past=past.astype(np.float32), future=future.astype(np.float32))
    made = fdl.load("series", dataset=str(tmp_path / "windows.npz"), width=8, epochs=3.0)
    fdl.train(replace(made, executor="jit"), tmp_path / "run", log=None)
    rows = [json.loads(line) for line in predict(made, tmp_path / "run", log=None).read_text().splitlines()]
    assert [(row["row"], row["ahead"]) for row in rows[:3]] == [(0, 1), (0, 2), (1, 1)]
    assert max(abs(row["future"] - row["future (given)"]) for row in rows) < 3  # of values up to 600


def test_an_export_says_that_its_value_is_a_change(run, tmp_path):
    lines = []
    out = export(run[0], run[1], output=str(tmp_path / "model.stablehlo"), log=lines.append)
    assert "seasonal naive forecast" in json.loads(out.with_suffix(".json").read_text())["value is"]
    assert any(line.startswith("value is the change") for line in lines)


def test_the_report_draws_forecasts_in_the_columns_unit(run):
    page = (run[1] / "report.html").read_text()
    assert "sold: forecast and what came" in page
    assert "Predicted over true" in page


def test_an_unseen_series_has_no_scale(tmp_path):
    both = pandas.concat([sales(0, 80).assign(shop=shop, sold=lambda x, shop=shop: shop * x.sold) for shop in (1, 5)])
    both.to_csv(tmp_path / "both.csv", index=False)
    made = fdl.load("series", dataset=str(tmp_path / "both.csv"), target="sold", group="shop", length=4, epochs=1.0)
    fdl.train(replace(made, executor="jit"), tmp_path / "run", log=None)
    trained = fdl.restore(tmp_path / "run")
    found = trained(both)
    assert found["value"].shape == (2 * 77, 1)
    naive = sales(79, 1)["sold"][0]  # each goes on from its own level
    np.testing.assert_allclose(found["value"][[76, 153], 0], [naive, 5 * naive], atol=naive)
    with pytest.raises(UserError, match="shop is '9' in some row, and training knows the scales of 1, 5 alone"):
        trained(both.assign(shop=9).drop_duplicates("day"))


@pytest.mark.parametrize(
    ("times", "coming"),
    [
        (["2023-01-31", "2023-02-28", "2023-03-31"], ["2023-04-30", "2023-05-31"]),
        (["2023-10-15", "2023-11-15", "2023-12-15"], ["2024-01-15", "2024-02-15"]),
        (["2020-01-01", "2021-01-01", "2022-01-01"], ["2023-01-01", "2024-01-01"]),
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"], ["2024-01-09"]),
        (["2024-01-04", "2024-01-05", "2024-01-06", "2024-01-07"], ["2024-01-08"]),
        (["2024-01-01T22", "2024-01-01T23"], ["2024-01-02T00", "2024-01-02T01"]),
    ],
)
def test_times_go_on_by_steps_working_days_and_months(times, coming):
    given, wanted = np.array(times, "datetime64[us]"), np.array(coming, "datetime64[us]")
    assert (later(given, given[-1], len(wanted)) == wanted).all()
    assert later(np.array([1.0, 3, 5]), np.float64(5), 2).tolist() == [7, 9]
