"""Every mode takes the address of a run on an object store, says it in its lines and puts what it writes there."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import fdl
from fdl.cli import modes
from fdl.core.errors import UserError
from fdl.engine.options import apply_options
from fdl.engine.population import Population
from fdl.experiment import maker
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores.mirror import fetched
from fdl.runs.stores.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of aiohttp and botocore at the end of a loop
]


def digits(epochs: float = 2.0, **options):
    made = fdl.load("digits_mlp", width=8, depth=1, epochs=epochs)
    made = apply_options(made, **{"schedule": "warmup_constant", **options})
    return replace(made, log_every=10, evaluate_every=10, executor="jit")


@pytest.fixture
def trained(store, tmp_path):
    report = fdl.train(digits(), store, log=None)
    shutil.rmtree(tmp_path / "cache")
    return report


def test_modes_that_read_a_run(store, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, lines = digits(), []
    assert fdl.evaluate(made, store, log=lines.append)["metrics"]["test"] == trained["metrics"]["test"]
    predictions = fdl.predict(made, store, log=lines.append)
    fdl.predict(made, store, output="here.jsonl", log=lines.append)
    fdl.export(made, store, log=lines.append)
    assert f"step 45: 180 predictions in {store}/predictions-test.jsonl" in lines
    assert "step 45: 180 predictions in here.jsonl" in lines
    assert not [line for line in lines if str(tmp_path / "cache") in line], lines
    names = Store(store).names()
    assert {"evaluation.json", "predictions-test.jsonl", "model.stablehlo", "model.json"} <= set(names)
    written = [file.read_bytes() for file in (predictions, tmp_path / "here.jsonl")]
    assert [Store(store).read("predictions-test.jsonl")] * 2 == written

    restored = fdl.restore(store)
    assert restored.step == trained["best_step"]
    assert restored.evaluate("test")["test"]["accuracy"] == trained["metrics"]["test"]["accuracy"]
    with pytest.raises(UserError, match="s3://bucket/none holds no run"):
        fdl.restore("s3://bucket/none")


def test_what_a_mode_writes_takes_nothing_else_along(store, trained):
    made, files = digits(), Store(store)
    fdl.evaluate(made, store, log=None)
    files.write("evaluation.json", b"written by another machine meanwhile")
    fdl.predict(made, store, log=None)
    assert files.read("evaluation.json") == b"written by another machine meanwhile"


def test_predictions_of_the_command_line_are_put_on_the_store(store, trained):
    form = {"columns": None, "beams": 1, "threshold": None, "calibrate": None}
    modes.MODES["predict"](digits(), store, split="test", input=None, output=None, checkpoint="tested", **form)
    assert len(Store(store).read("predictions-test.jsonl").splitlines()) == 180


def test_modes_beside_a_run_write_into_the_current_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fdl.find_lr(digits(), store, log=None)
    modes.measure(digits(), store)
    name = store.rpartition("/")[2]
    assert {f"{name}.find_lr.svg", f"{name}.bench.json"} <= {path.name for path in tmp_path.iterdir()}
    assert not Store(store).names()


def test_a_longer_run(store, trained, tmp_path):
    lines = []
    longer = fdl.train(digits(4), store, log=lines.append)
    assert any("longer now, 90 steps for 45" in line for line in lines)
    assert any(f"step 45 is kept as {store}/checkpoints/ended-45" in line for line in lines), lines
    whole = fdl.train(digits(4), tmp_path / "whole", log=None)
    assert longer["metrics"] == whole["metrics"]
    shutil.rmtree(tmp_path / "cache")
    seen = fetched(store)
    assert (seen / "checkpoints/ended-45/meta.json").is_file()
    assert json.loads((seen / "longer.json").read_text())["steps"] == 90
    commits = [Checkpoints(path / "checkpoints").verify(90)["leaves"] for path in (seen, tmp_path / "whole")]
    assert commits[0] == commits[1]
    assert fdl.train(digits(4), store, log=lines.append) == longer
    assert "finished already, at step 90" in lines[-1]


def test_weights_of_a_run_on_a_store_begin_another(store, trained):
    begun = digits(1, init=store)
    assert fdl.train(begun, f"{store}-tuned", log=None)["step"] == 23
    with pytest.raises(Exception, match="s3://bucket/none holds no"):
        fdl.train(digits(1, init="s3://bucket/none"), f"{store}-other", log=None)


def test_runs_are_compared_by_their_addresses(store, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fdl.train(replace(digits(), seed=1), f"{store}/more/b", log=None)
    found = fdl.compare(store, f"{store}/more/b", log=None)
    assert [run.name for run in found] == [store.rpartition("/")[2], "b"]
    fdl.train(replace(digits(), seed=2), f"{store}/more/c", log=None)
    assert {run.name for run in fdl.compare(f"{store}/more", output="page.html", log=None)} == {"b", "c"}


def test_a_population(store, tmp_path):
    members = Population(make=maker("digits_mlp"), values={"seed": np.arange(2)})
    report = fdl.train_population(members, store, log=None)
    shutil.rmtree(tmp_path / "cache")
    assert fdl.restore(f"{store}/best", "last").step == report["step"]


def test_what_needs_a_folder_says_so(store):
    pytest.importorskip("optuna")
    from fdl.modes.study import study

    with pytest.raises(UserError, match="needs a folder for its runs"):
        study(digits, lambda trial: {}, store, trials=1)
