from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import optax
import pytest

import fdl
import tiny
from fdl.core.types import Metric
from fdl.engine import baselines
from fdl.engine.baselines import measure_baselines, verdict
from fdl.tasks.baselines import Baseline, chance, columns, linear


def test_baselines_are_in_the_report_and_beside_the_test_score(tmp_path):
    made = tiny.experiment(baselines=(chance(), linear(columns())), steps=200)
    said: list[str] = []
    report = fdl.train(made, tmp_path, log=said.append)
    guess, logistic = report["baselines"]
    assert guess["chance"]
    assert logistic["name"] == "logistic regression"
    assert logistic["metrics"]["accuracy"] > guess["metrics"]["accuracy"]
    lines = said[-1].splitlines()
    assert lines[0].startswith("test loss=")
    assert lines[2].startswith("baseline logistic regression: loss=")
    assert "test, logistic regression" in (tmp_path / "report.html").read_text()
    assert made.identity() == replace(made, baselines=()).identity()


def test_a_run_that_learned_nothing_says_so_in_its_last_line_and_on_its_page(tmp_path):
    still = tiny.experiment(baselines=(chance(),), optimizer=fdl.recorded(optax.sgd)(0.0))
    said: list[str] = []
    report = fdl.train(still, tmp_path, log=said.append)
    folder, following, verdict = said[-1].splitlines()[-3:]
    assert (verdict, folder) == (report["verdict"], f"run folder {tmp_path}")
    assert following.startswith("next ")
    assert report["verdict"].startswith("no better than guessing: test accuracy 0.")
    assert report["verdict"] in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("test", "better", "expected"),
    [
        ({"accuracy": 0.9, "loss": 0.3}, "higher", ""),
        ({"accuracy": 0.85, "loss": 0.3}, "higher", "no better than the baseline: test accuracy 0.85, linear 0.88"),
        ({"accuracy": 0.52, "loss": 0.7}, "higher", "no better than guessing: test accuracy 0.52, the mean 0.5"),
        ({"accuracy": 0.5, "loss": 0.3}, "higher", "no better than the baseline: test accuracy 0.5, linear 0.88"),
        ({"accuracy": float("nan"), "loss": float("nan")}, "higher", "no better than guessing: test accuracy nan"),
    ],
)
def test_the_verdict(test, better, expected):
    found = [
        {"name": "the mean", "chance": True, "metrics": {"accuracy": 0.5, "loss": 0.69}},
        {"name": "linear", "chance": False, "metrics": {"accuracy": 0.88, "loss": 0.3}},
    ]
    said = verdict(test, 400, "accuracy", Metric((), float, better), found)
    assert said.startswith(expected)
    assert bool(said) == bool(expected)


@pytest.mark.parametrize(("rmse", "expected"), [(0.95, ""), (0.99, "no better than guessing"), (1.2, "no better than")])
def test_an_error_has_to_be_below_that_of_guessing_by_more_than_chance_allows(rmse, expected):
    found = [{"name": "the mean", "chance": True, "metrics": {"rmse": 1.0}}]
    said = verdict({"rmse": rmse, "loss": rmse}, 100, "rmse", Metric((), float, "lower"), found)
    assert said.startswith(expected)
    assert bool(said) == bool(expected)


def test_predictions_that_know_nothing_are_seldom_called_better_than_guessing():
    rng, n, metric = np.random.default_rng(0), 60, Metric((), float, "lower")
    errors, better = rng.normal(size=(2000, n)), 0
    found = [{"name": "the mean", "chance": True, "metrics": {"rmse": 1.0}}]
    for row in errors:
        guess = np.sqrt(np.mean(row**2))
        answer = rng.choice([0.05, 0.2, 0.26, 0.5]) * rng.normal(size=n)
        found[0]["metrics"] = {"rmse": guess}
        said = verdict({"rmse": np.sqrt(np.mean((row - answer) ** 2)), "loss": 1.0}, n, "rmse", metric, found)
        better += not said
    assert 0 < better < 2000 / 40


def test_a_baseline_that_would_take_too_long_gets_some_rows_and_one_that_fails_is_said(monkeypatch):
    made = tiny.experiment(dataset=tiny.dataset({"train": 5000, "validation": 9, "test": 11}))
    clock = iter(range(1000))
    monkeypatch.setattr(baselines.time, "process_time", lambda: float(next(clock)))
    monkeypatch.setattr(baselines, "FAIR_NUMBERS", 0)
    seen, said = [], []

    def fit(train, task, outputs):
        seen.append(len(train.targets))
        return linear(columns()).fit(train, task, outputs)

    def fails(train, task, outputs):
        raise ZeroDivisionError("no rows")

    found = measure_baselines(replace(made, baselines=(Baseline(fit=fit), Baseline(fit=fails))), 5.0, said.append)
    assert seen == [baselines.FIRST_ROWS]  # each reading of the clock is a second
    assert [each["rows"] for each in found] == seen
    assert baselines.lines(found)[0].startswith("baseline logistic regression (of 500 of 5,000 rows): loss=")
    assert said == ["warning: a baseline is not measured (ZeroDivisionError: no rows)"]
    seen.clear()
    measure_baselines(replace(made, baselines=(Baseline(fit=fit),)), 5000.0, said.append)
    assert seen == [baselines.FIRST_ROWS, 5000]

    # However short the run was, a baseline has a fair number of rows: some would flatter the model.
    width = int(np.prod(made.dataset.spec.inputs.shape))
    monkeypatch.setattr(baselines, "FAIR_NUMBERS", 700 * width)
    seen.clear()
    found = measure_baselines(replace(made, baselines=(Baseline(fit=fit),)), 0.0, said.append)
    assert seen == [baselines.FIRST_ROWS, 700]
    assert (found[0]["rows"], found[0]["of"]) == (700, 5000)


def test_the_time_of_a_baseline_is_the_processors(monkeypatch):
    made = tiny.experiment(dataset=tiny.dataset({"train": 5000, "validation": 9, "test": 11}))
    monkeypatch.setattr(baselines, "FAIR_NUMBERS", 0)
    clocks = {"process_time": 0.0, "perf_counter": 0.0, "monotonic": 0.0, "time": 0.0}
    monkeypatch.setattr(baselines, "time", SimpleNamespace(**{name: partial(clocks.get, name) for name in clocks}))

    def waits(train, task, outputs):  # as on a machine whose cores are taken by others
        clocks.update({name: clocks[name] + 60.0 for name in clocks if name != "process_time"})
        return chance().fit(train, task, outputs)

    found = measure_baselines(replace(made, baselines=(Baseline(fit=waits),)), 0.0, print)
    assert found[0]["rows"] == 5000


def test_windows_that_overlap_are_read_once():
    dataset = tiny.dataset({"train": 4000, "validation": 9, "test": 11})
    made = tiny.experiment(dataset=replace(dataset, spec=replace(dataset.spec, epoch=40)))
    rows = baselines._candidates(made)
    assert sorted(rows) == list(np.arange(0, 4000, 100))


def test_large_examples_are_read_a_few_at_a_time_and_fitted_as_far_as_memory_goes(monkeypatch):
    dataset, seen = tiny.dataset({"train": 1000, "validation": 9, "test": 11}, shape=(4, 4, 2)), []

    def transform(batch):
        seen.append(len(batch.targets))
        return batch._replace(inputs=batch.inputs * 1.0)

    monkeypatch.setattr(baselines, "_CHUNK_BYTES", 10 * (4 * 4 * 2 + 1 + 1) * 4)
    monkeypatch.setattr(baselines, "MOST_NUMBERS", 700 * 4 * 4 * 2)
    made = tiny.experiment(dataset=replace(dataset, transform=transform), baselines=(linear(columns()),))
    found = measure_baselines(made, 5000.0, print)
    assert set(seen) == {1, 10}  # of a shape, and traced of a chunk
    assert found[0]["rows"] == 700
