"""The table page: numbers begin at ridge regression and are no worse where the truth is a line."""

import numpy as np
import pandas
import pytest

import fdl
import tiny
from fdl.core.errors import UserError
from fdl.core.recorded import recipe_of
from fdl.data.modalities.new_rows import new_rows
from fdl.engine.options import apply_options
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.tasks.baselines import columns
from fdl.trained import restored_experiment


def lines(rows=400, seed=0):
    """A truth that is a line, with noise, of ten numbers and a town."""
    random = np.random.default_rng(seed)
    x, town = random.normal(size=(rows, 10)), random.choice(["Bern", "Basel", "Zug"], rows)
    price = x @ np.arange(10) + 20 * (town == "Zug") + random.normal(0, 15, rows)
    return pandas.DataFrame({**{f"x{i}": column for i, column in enumerate(x.T)}, "town": town, "price": price})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    lines().to_csv(folder / "lines.csv", index=False)
    made = fdl.load("table", dataset=str(folder / "lines.csv"), target="price")
    return made, fdl.train(made, folder / "run", log=None), folder


def test_where_the_truth_is_a_line_a_small_table_loses_little_to_ridge_regression(run):
    made, report, _ = run
    new, spec = lines(4000, seed=2), made.dataset.spec
    weights, x = made.model.start(), columns(spec.categories)(new_rows(made.dataset, new).inputs)
    ridge = (weights[0] + x @ weights[1:])[:, 0] * spec.scale + spec.center
    errors = [
        np.sqrt(((value - new["price"]) ** 2).mean()) for value in (report.restore().predict(new)["value"], ridge)
    ]
    assert errors[0] < 1.07 * errors[1]  # an MLP alone loses a tenth


def test_ridge_regression_stays_as_it_was_fitted(run):
    made, report, _ = run
    kept = report.restore("last").params
    begun = np.asarray(made.model.start(), np.float32)
    np.testing.assert_array_equal(kept["linear"]["kernel"], begun[1:])
    np.testing.assert_array_equal(kept["linear"]["bias"], begun[0])
    assert np.abs(kept["head"]["kernel"]).max() > 0


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(run, tmp_path, monkeypatch):
    made, report, _ = run
    plain, saves = Checkpoints.save, []

    def killed(self, state, meta):
        plain(self, state, meta)
        self.wait()
        saves.append(0)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        fdl.train(made, tmp_path / "run", log=None)
    again = fdl.train(made, tmp_path / "run", log=None)
    assert again["step"] == report["step"]
    tiny.same(again.restore("last").params, report.restore("last").params)


def test_its_folder_alone_is_evaluated_predicts_and_is_exported(run, tmp_path):
    _, report, folder = run
    measured = fdl.evaluate(restored_experiment(folder / "run"), folder / "run", log=None)["metrics"]["test"]
    tiny.close(measured, report["metrics"]["test"], 1e-6)
    new = lines(30, seed=1)
    expected = report.restore().predict(new)["value"]
    (folder / "lines.csv").rename(tmp_path / "away.csv")
    try:
        np.testing.assert_array_equal(fdl.restore(folder / "run").predict(new)["value"], expected)
        assert fdl.export(restored_experiment(folder / "run"), folder / "run", log=None).exists()
    finally:
        (tmp_path / "away.csv").rename(folder / "lines.csv")
    assert np.corrcoef(expected, new["price"])[0, 1] > 0.5


def test_another_optimizer_leaves_ridge_regression_as_it_is(run):
    made, _, _ = run
    changed = apply_options(made, optimizer="sgd", clip=1.0)
    recipe = recipe_of(changed.optimizer)
    assert recipe.arguments["paths"] == ("linear",)
    assert recipe_of(recipe.arguments["optimizer"]).factory == "fdl:sgd"
    with pytest.raises(UserError, match="optimizer 'adam' is not one of"):
        apply_options(made, optimizer="adam")


def growth(kind, rows=300):
    """Positive, skewed: a product, whose logarithm is a line, or a line of skewed numbers."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3))
    if kind == "product":
        return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.exp(3 + x @ [1, 0.5, 0.2])})
    skewed = np.exp(x)
    return pandas.DataFrame({"a": skewed[:, 0], "b": skewed[:, 1], "y": 1 + skewed @ [5, 2, 0.5]})


@pytest.mark.parametrize(("kind", "logs"), [("product", True), ("line", False)])
def test_a_skewed_number_is_learned_as_its_logarithm_where_training_rows_say_so(tmp_path, kind, logs):
    growth(kind).to_csv(tmp_path / "t.csv", index=False)
    made = fdl.load("table", dataset=str(tmp_path / "t.csv"), target="y", epochs=40.0)
    assert made.dataset.spec.logs == logs
    said = [note for note in made.dataset.notes if "logarithm" in note]
    assert len(said) == logs
    plain = fdl.load("table", dataset=str(tmp_path / "t.csv"), target="y", log_target="false")
    assert (plain.dataset.spec.logs, plain.dataset.spec.scale != made.dataset.spec.scale) == (False, logs)
    if not logs:
        return
    assert said[0].startswith("the target is learned as its logarithm: ridge regression of it errs ")
    report = fdl.train(made, tmp_path / "run", log=None)
    new = growth(kind, 40)
    values = report.restore().predict(new)["value"]
    assert np.all(values > 0)
    assert np.corrcoef(np.log(values), np.log(new["y"]))[0, 1] > 0.9
    measured = fdl.evaluate(restored_experiment(tmp_path / "run"), tmp_path / "run", log=None)["metrics"]["test"]
    tiny.close(measured, report["metrics"]["test"], 1e-5)
    truth = pandas.read_csv(tmp_path / "t.csv")
    error = report.restore().evaluate(data=truth)["new"]["rmse"]
    expected = np.sqrt(((report.restore().predict(truth)["value"] - truth["y"]) ** 2).mean())
    assert error == pytest.approx(expected, rel=1e-4)
    (tmp_path / "t.csv").unlink()
    np.testing.assert_array_equal(fdl.restore(tmp_path / "run").predict(new)["value"], values)


def test_a_logarithm_that_is_not_there_is_refused_where_it_was_asked_for(tmp_path):
    frame = growth("product")
    frame.assign(y=frame["y"] - 5).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match=r"has -.* in train and no logarithm to learn; leave out --log_target"):
        fdl.load("table", dataset=str(tmp_path / "t.csv"), target="y", log_target="true")
    assert not fdl.load("table", dataset=str(tmp_path / "t.csv"), target="y").dataset.spec.logs
    frame.assign(y=frame["y"] > 9).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match="has 2 classes and no logarithm"):
        fdl.load("table", dataset=str(tmp_path / "t.csv"), target="y", log_target="true")
