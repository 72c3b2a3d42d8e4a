"""Of two classes: a threshold and a temperature, chosen on validation, kept with the run, applied where asked for."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

import fdl
import tiny
from fdl.core.errors import UserError
from fdl.core.recorded import recorded
from fdl.core.types import Unreduced
from fdl.engine.decision import Decision
from fdl.models import MLP
from fdl.modes.predict import Form, predict_new, predict_split
from fdl.tasks import binary, classify
from fdl.tasks.two_classes import best_temperature

SIZES = {"train": 40, "validation": 60, "test": 50}


def experiment(task="classify", **changes):
    """Few examples learned by heart, so that chances are too sure; accuracy is highest where that has begun."""
    data = tiny.dataset(SIZES, classes=2)
    model = MLP(outputs=2 if task == "classify" else 1, hidden=(32,))
    made = tiny.experiment(dataset=data, model=model, task=classify(2) if task == "classify" else binary())
    return replace(
        made, steps=300, evaluate_every=10, monitor="accuracy", optimizer=recorded(tiny.optax.adam)(0.02), **changes
    )


@pytest.fixture(scope="module", params=["classify", "binary"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    report = fdl.train(experiment(request.param, patience=10), folder, log=None)
    return experiment(request.param, patience=10), folder, report


def lines(file):
    return [json.loads(text) for text in file.read_text().splitlines()]


def second(line):
    return line["probabilities"][1] if "probabilities" in line else line["probability"]


def test_what_is_chosen_is_of_the_state_that_is_tested_and_best_on_validation(run, tmp_path):
    made, folder, report = run
    assert report["best_step"] < report["step"]
    found = lines(predict_split(made, folder, "validation", output=str(tmp_path / "a.jsonl"), log=None))
    targets, chances = (np.array([get(each) for each in found]) for get in (lambda each: each["target"], second))
    chosen = report["metrics"]["validation"]
    best = f1_score(targets, chances >= chosen["threshold"])
    assert best == max(f1_score(targets, chances >= t) for t in chances)
    form = Form(threshold="best", calibrated=True)
    said: list[str] = []
    file = predict_split(made, folder, "validation", output=str(tmp_path / "b.jsonl"), form=form, log=said.append)
    asked = lines(file)
    assert f1_score(targets, [each["class"] for each in asked]) == best  # the temperature changes no answer
    calibrated = np.array([second(each) for each in asked])
    assert log_loss(targets, calibrated) < log_loss(targets, chances)
    assert chosen["temperature"] > 1
    odds = np.log(chances / (1 - chances)) / chosen["temperature"]
    np.testing.assert_allclose(calibrated, 1 / (1 + np.exp(-odds)), rtol=1e-3)
    assert said[0].startswith("answers 1 from a probability of 0.")
    assert "temperature" in said[0]


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.9])
def test_a_threshold_that_is_given_is_that_of_the_probability_that_is_written(run, tmp_path, threshold):
    made, folder, _ = run
    inputs = made.dataset.load("test").arrays[0]
    for calibrated in (False, True):
        form = Form(threshold=threshold, calibrated=calibrated)
        out = str(tmp_path / f"{calibrated}.jsonl")
        answered = lines(predict_new(made, folder, inputs, output=out, form=form, log=None))
        assert [each["class"] for each in answered] == [int(second(each) >= threshold) for each in answered]
        if "probabilities" in answered[0]:
            assert all(each["probability"] == each["probabilities"][each["class"]] for each in answered)


def test_a_restored_model_decides_as_it_is_told(run):
    made, _, report = run
    inputs = made.dataset.load("test").arrays[0]
    model = report.restore("best")
    plain, changed = model.predict(inputs), model.decide("best", calibrated=True).predict(inputs)
    chance = [
        found["probabilities"][:, 1] if "probabilities" in found else found["probability"] for found in (plain, changed)
    ]
    np.testing.assert_array_equal(changed["class"], chance[0] >= report["metrics"]["validation"]["threshold"])
    assert np.abs(chance[1] - 0.5).mean() < np.abs(chance[0] - 0.5).mean()
    np.testing.assert_array_equal(model.predict(inputs)["class"], plain["class"])  # which nothing has changed


def test_what_was_not_chosen_is_refused_with_a_way_out(run, tmp_path):
    made, folder, _ = run
    with pytest.raises(UserError, match=r"were chosen for step \d+, and this is step \d+; leave out --checkpoint"):
        predict_split(made, folder, "test", form=Form(threshold="best"), checkpoint="last", log=None)
    predict_split(made, folder, "test", form=Form(threshold=0.3), checkpoint="last", log=None)
    for wrong in ("bset", "1.5", float("nan")):
        with pytest.raises(UserError, match="is no probability; give one from 0 to 1, or best"):
            predict_split(made, folder, "test", form=Form(threshold=wrong), log=None)
    (folder / "report.json").rename(folder / "away.json")
    try:
        with pytest.raises(UserError, match=r"has no report yet.*or give --threshold=0\.3"):
            predict_split(made, folder, "test", form=Form(calibrated=True), log=None)
    finally:
        (folder / "away.json").rename(folder / "report.json")
    three = fdl.train(tiny.experiment(), tmp_path, log=None)
    with pytest.raises(UserError, match="--threshold is of two classes, and tiny predicts something else"):
        predict_split(three.experiment, tmp_path, "test", form=Form(threshold=0.3), log=None)


def test_the_temperature_is_that_of_the_least_loss():
    random = np.random.default_rng(0)
    logits = random.normal(size=20_000) * 2
    labels = (random.uniform(size=20_000) < 1 / (1 + np.exp(-logits))).astype(float)
    for factor in (0.3, 1, 4):
        rows = Unreduced(np.stack([labels, factor * logits], 1), np.ones(20_000))
        assert best_temperature(rows) == pytest.approx(factor, rel=0.05)
    separated = Unreduced(np.array([[0.0, -2.0], [0, -1], [1, 1], [1, 2]]), np.ones(4))
    assert 0.5 < best_temperature(separated) < 2  # no error is no certainty
    assert np.isnan(best_temperature(separated._replace(total=separated.total * [0, 1])))
    halved = Unreduced(np.repeat(separated.total, 2, 0), np.ones(8))
    assert best_temperature(separated._replace(weight=np.full(4, 2.0))) == pytest.approx(best_temperature(halved))


def test_certain_chances_stay_certain():
    found = Decision(temperature=3).answers({"probability": np.float32([0, 0.5, 1]), "class": np.int32([0, 0, 1])})
    np.testing.assert_array_equal(found["probability"], [0, 0.5, 1])
