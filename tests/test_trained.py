"""A run folder is a model: moved elsewhere, without the data it was trained on, it answers about new data."""

import csv
import json
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import jax
import numpy as np
import pandas
import pytest
from PIL import Image

import fdl
import tiny
from fdl.__main__ import launch
from fdl.core.errors import UserError
from fdl.modes.predict import Form, predict_new
from fdl.trained import restored_experiment

TOWNS = ("Bern", "Basel", "Zug")


def houses(n: int, seed: int = 0) -> pandas.DataFrame:
    random = np.random.default_rng(seed)
    area, town = random.integers(30, 200, n), random.choice(TOWNS, n)
    price = 1000.0 * area + 90_000 * (town == "Zug") + random.normal(0, 5000, n)
    return pandas.DataFrame({"Id": np.arange(n), "area": area, "town": town, "price": price.round()})


@pytest.fixture(scope="module")
def table_run(tmp_path_factory) -> Path:
    """A run on a table, moved, with its file deleted."""
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    houses(300).to_csv(home / "houses.csv", index=False)
    made = fdl.load("table", dataset=str(home / "houses.csv"), target="price", epochs=20.0, width=32, batch_size=32)
    fdl.train(replace(made, executor="jit"), home / "run", log=None)
    (home / "houses.csv").unlink()
    return (home / "run").rename(elsewhere / "run")


def test_a_moved_run_predicts_without_its_data(table_run, tmp_path):
    new = houses(40, seed=1)
    new.to_csv(tmp_path / "test.csv", index=False)
    trained = fdl.restore(table_run)
    values = trained.predict(new.drop(columns="price"))["value"]
    assert values.shape == (40,)
    assert np.abs(values - new["price"]).mean() < 0.25 * new["price"].std()
    for same in (str(tmp_path / "test.csv"), new.to_dict("records"), new.to_dict("list")):
        np.testing.assert_array_equal(trained(same)["value"], values)


def test_every_mode_takes_the_folder_alone(table_run, tmp_path, capfd):
    houses(5, seed=2).drop(columns="price").to_csv(tmp_path / "test.csv", index=False)
    out = tmp_path / "submission.csv"
    words = ["--mode=predict", f"--workdir={table_run}", f"--input={tmp_path / 'test.csv'}", f"--output={out}"]
    assert launch(["fdl", *words, "--columns=Id,price"]) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["Id"] for row in rows] == list("01234")
    assert list(rows[0]) == ["Id", "price"]
    assert launch(["fdl", "--mode=describe", f"--workdir={table_run}"]) == 0
    capfd.readouterr()
    assert launch(["fdl", "--mode=evaluate", f"--workdir={table_run}"]) == 2
    assert "is not here (there is no" in capfd.readouterr().err
    houses(300).to_csv(tmp_path / "renamed.csv", index=False)
    moved = f"--dataset={tmp_path / 'renamed.csv'}"
    assert launch(["fdl", "--mode=evaluate", f"--workdir={table_run}", moved]) == 0
    measured = json.loads((table_run / "evaluation.json").read_text())["metrics"]["test"]
    tiny.close(measured, json.loads((table_run / "report.json").read_text())["metrics"]["test"], 1e-6)
    houses(300, seed=9).to_csv(tmp_path / "renamed.csv", index=False)
    capfd.readouterr()
    assert launch(["fdl", "--mode=evaluate", f"--workdir={table_run}", moved]) == 2
    assert "has other scales" in capfd.readouterr().err
    assert launch(["fdl", "--mode=describe", f"--workdir={table_run}", "--width=64"]) == 2
    assert "--width=64, and the run in" in capfd.readouterr().err


def test_missing_and_unseen_values_are_counted_as_training_would_treat_them(table_run, tmp_path):
    new = houses(4, seed=3).drop(columns="price").astype({"area": float})
    new.loc[0, "area"], new.loc[1, "town"] = np.nan, "Genf"
    lines: list[str] = []
    file = predict_new(
        restored_experiment(table_run), table_run, new, output=str(tmp_path / "o.jsonl"), log=lines.append
    )
    assert lines[0] == "area: 1 of 4 values are missing"
    assert lines[1] == "town: 1 of 4 values are of categories never seen in training, which count as missing"
    assert [json.loads(line)["Id"] for line in file.read_text().splitlines()] == [0, 1, 2, 3]


def test_new_data_with_its_targets_is_evaluated(table_run, tmp_path):
    new = houses(40, seed=1)
    trained, made = fdl.restore(table_run), restored_experiment(table_run)
    metrics = trained.evaluate(data=new)["new"]
    errors = trained(new)["value"] - new["price"]
    assert metrics["n"] == 40
    assert metrics["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    new.to_csv(tmp_path / "new.csv", index=False)
    measured = fdl.evaluate(made, table_run, input=str(tmp_path / "new.csv"), checkpoint="best", log=None)
    tiny.close(measured["metrics"]["new"], metrics, 1e-6)
    with pytest.raises(UserError, match="evaluated by its column price"):
        trained.evaluate(data=new.drop(columns="price"))
    with pytest.raises(UserError, match="2 of 40 rows have no number as price"):
        trained.evaluate(data=new.assign(price=new["price"].where(new["Id"] > 1)))


def test_the_plan_of_training_is_the_only_parser(table_run, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for entry in table_run.iterdir():
        (copy / entry.name).symlink_to(entry)
    plan = json.loads((table_run / "dataset.json").read_text())
    (area,) = (column for column in plan["plan"]["columns"] if column["name"] == "area")
    area["fitted"]["mean"] = [area["fitted"]["mean"][0] + area["fitted"]["scale"][0]]
    (copy / "dataset.json").unlink()
    (copy / "dataset.json").write_text(json.dumps(plan))
    new = houses(3, seed=4)
    moved = new.assign(area=new["area"] + area["fitted"]["scale"][0])
    perturbed, true = fdl.restore(copy), fdl.restore(table_run)
    np.testing.assert_allclose(perturbed(moved)["value"], true(new.astype({"area": float}))["value"], rtol=1e-4)
    assert np.abs(perturbed(new)["value"] - true(new)["value"]).max() > 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pandas.DataFrame({"area": [3]}), "lacks town"),
        (np.zeros((2, 9)), "no names of columns"),
        ("missing.csv", "there is no missing.csv"),
        (3, "int is no table"),
        ([], "give"),
    ],
)
def test_what_is_not_of_the_kind_that_was_trained_on_is_one_line(table_run, data, message):
    with pytest.raises(UserError, match=message):
        fdl.restore(table_run).predict(data)


def test_beams_are_refused_where_nothing_is_decoded(table_run):
    with pytest.raises(UserError, match="beams 4 are for sequences"):
        fdl.restore(table_run).predict(houses(1), beams=4)


def test_a_second_request_of_the_same_shape_compiles_nothing(table_run):
    trained, new = fdl.restore(table_run), houses(9, seed=5)
    trained(new)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.monitoring, "record_event_duration_secs", _refuse_compiles)
        one = trained(new[:9])["value"]
    np.testing.assert_array_equal(one, trained(new)["value"])
    assert trained._programs(1)[1]._cache_size() == 1


def _refuse_compiles(event: str, *_, **__) -> None:
    assert "compile" not in event, event


def test_training_gives_a_report_that_restores(tmp_path, capfd):
    report = fdl.train(tiny.experiment(), tmp_path / "run", log=None)
    assert capfd.readouterr() == ("", "")
    trained = report.restore("last")
    inputs = tiny.dataset().load("test").arrays[0]
    answers = trained(np.asarray(inputs))
    assert answers["class"].shape == (11,)
    assert np.mean(answers["class"] == tiny.dataset().load("test").arrays[1]) == report["metrics"]["test"]["accuracy"]
    tiny.close(trained.evaluate("test")["test"], report["metrics"]["test"], 1e-6)
    assert [line["step"] for line in report.history if line["split"] == "train"] == [4, 8, 12]
    assert "<table>" in report._repr_html_()
    assert json.loads(json.dumps(report)) == json.loads((tmp_path / "run" / "report.json").read_text())
    with pytest.raises(UserError, match="Python code without a page"):
        fdl.restore(tmp_path / "run")
    next((tmp_path / "run" / "checkpoints" / "12").rglob("*.safetensors")).write_bytes(b"")
    lines: list[str] = []
    assert fdl.restore(tmp_path / "run", "last", experiment=report.experiment, log=lines.append).step == 8
    assert "step 8 is taken" in lines[0]


def run_of(folder: Path, page: str, dataset: Path, **knobs) -> fdl.Trained:
    """Train a page on one of the devices, delete nothing, and restore it from its folder."""
    fdl.train(replace(fdl.load(page, dataset=str(dataset), **knobs), executor="jit"), folder, log=None)
    return fdl.restore(folder)


def picture_folder(folder: Path, count: int = 12) -> Path:
    random = np.random.default_rng(0)
    for number, kind in enumerate(("dark", "light")):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 80, (10, 12, 3)) + 150 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{i}.png")
    return folder


def test_pictures_texts_and_sounds_are_asked_about_by_file(tmp_path, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    pictures = picture_folder(tmp_path / "pictures")
    trained = run_of(tmp_path / "image", "image", pictures, model="mlp", width=8, epochs=20.0, batch_size=8)
    assert trained(str(pictures / "light" / "0.png"))["name"] == ["light"]
    assert trained(str(pictures))["name"] == ["dark"] * 12 + ["light"] * 12
    assert trained(f"{pictures}/dark/1*.png")["name"] == ["dark"] * 3
    with pytest.raises(UserError, match="holds no image but nothing"):
        trained(str(tmp_path / "none*"))
    (pictures / "dark" / "0.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 of 24 files cannot be read"):
        trained(str(pictures))

    rows = [("good fine nice", "yes"), ("bad poor sad", "no")] * 30
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label in rows))
    knobs = {"target": "label", "model": "gru", "width": 8, "depth": 1, "epochs": 40.0, "learning_rate": 0.01}
    trained = run_of(tmp_path / "text", "text", tmp_path / "t.csv", **knobs)
    assert trained(str(tmp_path / "t.csv"))["name"] == ["yes", "no"] * 30  # a name is not its letters
    (tmp_path / "t.csv").unlink()
    assert trained("good fine nice")["name"] == ["yes"]
    assert trained(["bad poor sad", "good fine nice"])["name"] == ["no", "yes"]
    monkeypatch.setattr(sys, "stdin", StringIO("bad poor sad\ngood fine nice\n"))
    out = predict_new(restored_experiment(tmp_path / "text"), tmp_path / "text", "-", log=None)
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == ["no", "yes"]

    for number, kind in enumerate(("low", "high")):
        (tmp_path / "sounds" / kind).mkdir(parents=True)
        for i in range(8):
            wave = np.sin(np.arange(2000) * (0.05 + 0.5 * number)) * (0.3 + 0.05 * i)
            soundfile.write(tmp_path / "sounds" / kind / f"{i}.wav", wave, 8000)
    knobs = {"width": 8, "epochs": 20.0, "batch_size": 8}
    trained = run_of(tmp_path / "audio", "audio", tmp_path / "sounds", **knobs)
    assert trained(str(tmp_path / "sounds" / "high"))["name"] == ["high"] * 8


def test_pairs_are_decoded_from_the_source_alone(tmp_path):
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abc"), 3)) for _ in range(300)]
    pandas.DataFrame({"read": words, "write": [word[::-1] for word in words]}).to_csv(tmp_path / "p.csv", index=False)
    knobs = {"inputs": "read", "target": "write", "model": "gru", "width": 32, "depth": 1, "epochs": 40.0}
    trained = run_of(tmp_path / "run", "pairs", tmp_path / "p.csv", learning_rate=0.01, dropout=0.0, **knobs)
    assert trained.evaluate("test")["test"]["error_rate"] == trained.report["metrics"]["test"]["error_rate"]
    (tmp_path / "p.csv").unlink()
    answers = trained(["abc", "cab"])
    assert answers["text"] == ["cba", "bac"]
    assert answers["tokens"].shape[0] == 2
    assert (answers["log_probability"] < 0).all()
    beam = trained.predict(["abc", "cab"], beams=4)
    assert beam["text"] == answers["text"]
    assert (beam["log_probability"] >= answers["log_probability"] - 1e-5).all()
    metrics = trained.report["metrics"]["test"]
    assert metrics["sequence_accuracy"] == pytest.approx(1) == 1 - metrics["error_rate"]
    rates = {each["name"]: each["metrics"]["error_rate"] for each in trained.report["baselines"]}
    assert rates["symbol by symbol"] == 0.0  # it knows two neighbours on each side, here all of a word
    assert len(rates) == 2  # and what guessing reaches
    assert (trained.report["judged_by"], trained.report["verdict"]) == ("error_rate", "")
    out = predict_new(restored_experiment(tmp_path / "run"), tmp_path / "run", ["aab"], form=Form(beams=3), log=None)
    assert json.loads(out.read_text())["write"] == "baa"


def test_data_in_memory_is_fitted_in_one_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    model = fdl.fit(x, np.where(x[:, 0] > 0, "right", "left"), epochs=20.0, learning_rate=0.01, log=None)
    assert model.report["metrics"]["test"]["accuracy"] > 0.8
    assert model(np.array([[2.0, 0, 0], [-2.0, 0, 0]]))["name"] == ["right", "left"]
    assert fdl.restore(model.folder)(x)["name"] == model(x)["name"]
    with pytest.raises(UserError, match=r"y has the shape \(3,\) and x 200 rows"):
        fdl.fit(x, [1, 2, 3])


def test_a_model_that_began_at_a_fit_of_its_data_is_restored_and_exported_without_it(tmp_path):
    days = pandas.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    frame = pandas.DataFrame({"day": days, "sold": 10 + np.sin(np.arange(120)) + np.arange(120) % 7})
    frame.to_csv(tmp_path / "s.csv", index=False)
    trained = run_of(tmp_path / "run", "series", tmp_path / "s.csv", season=7, length=14, epochs=1.0)
    measured = fdl.evaluate(trained.experiment, tmp_path / "run", log=None)["metrics"]["test"]
    tiny.close(measured, trained.report["metrics"]["test"], 1e-6)
    (tmp_path / "s.csv").unlink()
    assert fdl.export(restored_experiment(tmp_path / "run"), tmp_path / "run", log=None).exists()
