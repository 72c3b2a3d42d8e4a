"""Run folders of earlier versions give the numbers they gave, or are refused with their version in the line."""

import json
import shutil
from pathlib import Path

import pytest

from fdl.engine.options import apply_options
from fdl.experiment import load
from fdl.modes.evaluate import evaluate

EARLIER = sorted((Path(__file__).parent / "fixtures").glob("runs-*/*"))
MLP = {"width": 8, "epochs": 2}
MADE_BY = {
    "adam": ("digits_mlp", MLP, {}),
    "averaged": ("digits_mlp", MLP, {"ema_decay": 0.9}),
    "batch_norm": ("digits_cnn", {"channels": (2, 2), "hidden": 4, "epochs": 1}, {}),
    "population": ("digits_mlp", MLP, {}),
    "scaled": ("digits_mlp", MLP, {"precision": "float16"}),
}


@pytest.mark.parametrize("folder", EARLIER, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_folder_of_an_earlier_version_gives_its_numbers_or_is_refused_with_the_version(folder: Path, tmp_path: Path):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    name, knobs, options = MADE_BY[folder.name]
    report = json.loads((copy / "report.json").read_text())
    if folder.name == "population":
        copy, expected = copy / "best", report["members"][report["best"]]["test"]
    else:
        expected = report["metrics"]["test"]
    try:
        metrics = evaluate(apply_options(load(name, **knobs), **options), copy)["metrics"]["test"]
    except ValueError as error:
        assert "0.1.0" in str(error)  # noqa: PT017 (either is right)
    else:
        assert metrics["accuracy"] == expected["accuracy"]
        assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-3)


def test_a_folder_of_an_earlier_version_that_does_not_fit_says_the_version(tmp_path: Path):
    copy = shutil.copytree(EARLIER[0].parent / "adam", tmp_path / "adam")
    with pytest.raises(
        ValueError, match=r"holds another run, of fdl 0\.1\.0 \(this is .*\): width is 8 there and 9 here"
    ):
        evaluate(load("digits_mlp", width=9, epochs=2), copy)
