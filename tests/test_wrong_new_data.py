"""What a user gives by mistake to a trained run ends in one line whose way out works."""

import re
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

import fdl
from fdl.__main__ import launch


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    frame = pandas.DataFrame({"Id": range(60), "area": range(60), "price": [3.0 * i for i in range(60)]})
    frame.to_csv(home / "t.csv", index=False)
    made = fdl.load("table", dataset=str(home / "t.csv"), target="price", epochs=1.0, width=4, batch_size=32)
    fdl.train(replace(made, executor="jit"), home / "run", log=None)
    return home / "run"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("digits", None, "there is no .*digits; give a file with the columns that the run was trained on"),
        ("new*.csv", None, "there is no .*; give a file with the columns"),
        ("a.png", b"x", "a.png is no table, and the run was trained on the columns of one"),
        ("new.csv", b"Id,area\n1,\xfc\n", "not UTF-8 .* or write it as UTF-8"),
        ("new.csv", b"", "is empty"),
        ("new.csv", b"Id,area\n", "holds no rows"),
        ("new.csv", b"Id,size\n1,2\n", "lacks area"),
    ],
)
def test_wrong_new_data_is_one_line(run, tmp_path, capfd, name, content, line):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    where = tmp_path / name if content is not None or "*" in name else name
    assert launch(["fdl", "--mode=predict", f"--workdir={run}", f"--input={where}"]) != 0
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert re.search(line, error), error


@pytest.mark.parametrize("mode", ["predict", "evaluate", "export", "generate"])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path, capfd, mode, there):
    if there:
        (tmp_path / "folder").mkdir()
    assert launch(["fdl", f"--mode={mode}", f"--workdir={tmp_path / 'folder'}"]) != 0
    assert "folder holds no run; give the folder of one" in capfd.readouterr().err
