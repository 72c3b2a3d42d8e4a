"""Predictions of a run: every example once, on any executor, in a form that others read."""

import csv
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import fdl.data
import tiny
from fdl.models import MLP
from fdl.modes.predict import predict
from fdl.modes.prediction_file import cells, refuse_precious, write
from fdl.modes.train import train
from fdl.tasks import regress


def silent(text):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "run"
    report = train(tiny.experiment(steps=4), folder, log=silent)
    return partial(predict, workdir=folder, log=silent), report


def experiment(**changes):
    return tiny.experiment(steps=4, **changes)


def test_every_example_is_answered_once_and_as_often_right_as_evaluation_says(run):
    predict, report = run
    lines = [json.loads(text) for text in predict(experiment()).read_text().splitlines()]
    assert [each["row"] for each in lines] == list(range(11))
    right = np.mean([each["class"] == each["target"] for each in lines])
    assert right == pytest.approx(report["metrics"]["test"]["accuracy"])
    assert all(sum(each["probabilities"]) == pytest.approx(1, abs=1e-5) for each in lines)


@pytest.mark.parametrize("executor", ["pmap", "mesh"])
def test_eight_devices_predict_what_one_does(run, executor, tmp_path):
    predict, _ = run
    one = predict(experiment(), output=str(tmp_path / "one.jsonl")).read_text().splitlines()
    eight = predict(experiment(executor=executor), output=str(tmp_path / "eight.jsonl")).read_text().splitlines()
    for left, right in zip(map(json.loads, one), map(json.loads, eight), strict=True):
        tiny.close(left, right, 1e-6)


def test_a_file_of_inputs_is_answered_as_the_split_it_came_from(run, tmp_path):
    predict, _ = run
    np.save(tmp_path / "in.npy", experiment().dataset.load("test").arrays[0])
    named = replace(experiment(), dataset=replace(experiment().dataset))
    file = predict(named, input=str(tmp_path / "in.npy"), output=str(tmp_path / "out.csv"))
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    expected = [json.loads(text) for text in predict(experiment()).read_text().splitlines()]
    assert [int(row["class"]) for row in rows] == [each["class"] for each in expected]
    assert "target" not in rows[0]
    assert float(rows[0]["probabilities.2"]) == pytest.approx(expected[0]["probabilities"][2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "a.txt"}, "end it in .jsonl or .csv"),
        ({"split": "tset"}, "tset"),
        ({"input": "missing.npy"}, "missing.npy"),
        ({"input": "in.npy", "split": "validation"}, "leave one of them out"),
    ],
)
def test_what_cannot_be_predicted_is_one_clear_line(run, options, message):
    predict, _ = run
    with pytest.raises((ValueError, KeyError), match=message):
        predict(experiment(), **options)


def test_a_file_with_a_hole_is_refused_as_training_data_would_be(run, tmp_path):
    predict, _ = run
    inputs = np.array(experiment().dataset.load("test").arrays[0], np.float32)
    inputs[3].flat[0] = np.nan
    np.save(tmp_path / "in.npy", inputs)
    with pytest.raises(ValueError, match="example 3: inputs are not finite"):
        predict(experiment(), input=str(tmp_path / "in.npy"))


def test_arrays_become_a_column_for_each_number():
    assert dict(cells({"row": 1, "p": [[1, 2], [3, 4]]})) == {"row": 1, "p.0.0": 1, "p.0.1": 2, "p.1.0": 3, "p.1.1": 4}


def test_a_number_far_from_zero_is_predicted_with_all_its_digits(tmp_path):
    level, x = 1.7e9, np.random.default_rng(0).normal(size=200)
    data = fdl.data.arrays(x, level + 3 * x)
    task = regress(center=data.spec.center, scale=data.spec.scale)
    made = tiny.experiment(model=MLP(outputs=1, hidden=()), dataset=data, task=task, steps=200, log_every=100)
    train(made, tmp_path / "run", log=silent)
    lines = [json.loads(text) for text in predict(made, tmp_path / "run", log=silent).read_text().splitlines()]
    targets, values = (np.array([each[name] for each in lines]) for name in ("target", "value"))
    assert np.abs(np.sort(targets) - np.sort(level + 3 * np.float64(data.load("test").arrays[0]))).max() < 1e-5
    assert values.shape == targets.shape  # one number is a number, as of new data
    assert np.abs(values - targets).max() < 0.1


def test_a_probability_that_is_not_a_number_is_null(run, tmp_path, monkeypatch):
    predict, _ = run
    monkeypatch.setattr("fdl.modes.predict.line", lambda row, *_: {"row": row, "probability": float("nan")})
    assert json.loads(predict(experiment()).read_text().splitlines()[0]) == {"row": 0, "probability": None}


def test_a_regression_predicts_in_the_units_of_its_targets():
    assert regress(center=10, scale=2).predict(np.ones((1, 1), np.float32))["value"] == 12


def test_words_that_a_table_program_takes_for_formulas_are_shown_as_they_are(tmp_path):
    write(
        tmp_path / "p.csv",
        iter([{"row": 0, "name": "=cmd|' /C calc'!A0", "value": -1.5}, {"row": 1, "name": "-rf", "value": 2}]),
    )
    assert (tmp_path / "p.csv").read_text().splitlines() == ["row,name,value", "0,'=cmd|' /C calc'!A0,-1.5", "1,'-rf,2"]


def test_predictions_are_there_whole_or_not_at_all(tmp_path):
    def lines():
        yield {"row": 0}
        raise KeyboardInterrupt

    (tmp_path / "p.jsonl").write_text('{"row": 9}\n')
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "p.jsonl", lines())
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]
    assert (tmp_path / "p.jsonl").read_text() == '{"row": 9}\n'


@pytest.mark.parametrize("text", ['{"step": 1}\n', "a,b\n1,2\n"])
def test_predictions_take_the_place_of_nothing_but_predictions(tmp_path, text):
    target = tmp_path / "p.csv"
    target.write_text(text)
    with pytest.raises(ValueError, match=r"--output=\S+ is there and holds no predictions; choose another file"):
        refuse_precious(target, {"Id": 1, "price": 2.0})
    for fine in ('{"row": 0}\n', "row,class\n", "", "Id,price\n", '{"Id": 1, "price": 1.5}\n'):
        target.write_text(fine)
        refuse_precious(target, {"Id": 1, "price": 2.0})
