"""Run folders of earlier versions give the numbers they gave, or are refused with their version in the line."""

import json
import shutil
from pathlib import Path

import jax
import pytest

import fdl
import tiny
from fdl.core.errors import Fault, UserError
from fdl.engine.options import apply_options
from fdl.experiment import load
from fdl.modes.evaluate import evaluate
from fdl.runs.checkpoints.commit import refuse_newer
from fdl.runs.checkpoints.digest import digest_of_json
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.trained import restored_experiment

EARLIER = sorted((Path(__file__).parent / "fixtures").glob("runs-*/*"))
MLP = {"width": 8, "epochs": 2}
MADE_BY = {
    "adam": ("digits_mlp", MLP, {}),
    "averaged": ("digits_mlp", MLP, {"ema_decay": 0.9}),
    "batch_norm": ("digits_cnn", {"channels": (2, 2), "hidden": 4, "epochs": 1}, {}),
    "population": ("digits_mlp", MLP, {}),
    "scaled": ("digits_mlp", MLP, {"precision": "float16"}),
    "split": ("digits_mlp", {"width": 32, "epochs": 2}, {}),  # over two processes
}


@pytest.mark.parametrize("folder", EARLIER, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_folder_of_an_earlier_version_gives_its_numbers_or_is_refused_with_the_version(folder: Path, tmp_path: Path):
    copy, version = shutil.copytree(folder, tmp_path / folder.name), folder.parent.name.removeprefix("runs-")
    name, knobs, options = MADE_BY[folder.name]
    report = json.loads((copy / "report.json").read_text())
    if folder.name == "population":
        copy, expected = copy / "best", report["members"][report["best"]]["test"]
    else:
        expected = report["metrics"]["test"]
    try:
        # Since 0.2.0 a folder holds the page that it was made by; before, the pages of today have to be those.
        brought = (copy / "page").is_dir()
        made = restored_experiment(copy) if brought else apply_options(load(name, **knobs), **options)
        metrics = evaluate(made, copy)["metrics"]["test"]
    except ValueError as error:
        if brought or version not in str(error):
            raise
    else:
        assert metrics["accuracy"] == expected["accuracy"]
        assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-3)


def test_weights_of_a_run_over_processes_are_read_by_one(tmp_path: Path):
    folder = next(folder for folder in EARLIER if folder.name == "split")
    trained = fdl.restore(shutil.copytree(folder, tmp_path / "split"), "last")
    assert {leaf.shape for leaf in jax.tree.leaves(trained.variables)} == {(64, 32), (32,), (32, 32), (32, 10), (10,)}
    assert (
        trained.evaluate("test")["test"]["accuracy"]
        == json.loads((folder / "report.json").read_text())["metrics"]["test"]["accuracy"]
    )
    piece = tmp_path / "split" / "checkpoints" / "45" / "pieces-1" / "0.npy"
    piece.write_bytes(piece.read_bytes()[:-1] + b"?")
    with pytest.raises(Fault, match=r"pieces-1/0\.npy is damaged: leaf .*/kernel does not hold what was written"):
        fdl.restore(tmp_path / "split", "last")


def test_a_folder_of_an_earlier_version_that_does_not_fit_says_the_version(tmp_path: Path):
    copy = shutil.copytree(EARLIER[0].parent / "adam", tmp_path / "adam")
    with pytest.raises(
        ValueError, match=r"holds another run, of fdl 0\.1\.0 \(this is .*\): width is 8 there and 9 here"
    ):
        evaluate(load("digits_mlp", width=9, epochs=2), copy)


def test_a_checkpoint_of_a_newer_version_is_refused_with_that_version_and_stays_where_it_is(tmp_path: Path):
    made = tiny.experiment(save_every=4)
    fdl.train(made, tmp_path / "run", log=None)
    file = tmp_path / "run/checkpoints/12/meta.json"
    commit = {**json.loads(file.read_text())["commit"], "fdl": "9.1.0"}
    file.write_text(json.dumps({"digest": digest_of_json(commit), "commit": commit}))
    (tmp_path / "run/report.json").unlink()
    line = r"checkpoints/12 was saved by fdl 9\.1\.0 and this is .*; install fdl 9\.1\.0 or newer"
    for read in (fdl.train, fdl.evaluate, lambda *at, log: fdl.restore(at[1], "last", experiment=at[0])):
        with pytest.raises(UserError, match=line):
            read(made, tmp_path / "run", log=None)
    assert Checkpoints(tmp_path / "run/checkpoints").steps() == [8, 12], "it is neither damaged nor in the way"
    refuse_newer(tmp_path, f"{fdl.__version__}.1.dev0")
    refuse_newer(tmp_path, "unknown")
