"""What a user gives by mistake to a trained run ends in one line whose way out works."""

import io
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

import fdl
from fdl.__main__ import launch
from fdl.cli import endings
from fdl.data.modalities.new_rows import new_rows
from fdl.modes.predict import predict_new


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


def test_what_is_read_otherwise_than_in_training_is_said(run, tmp_path, capfd):
    (tmp_path / "new.csv").write_text("Id,area\n1,big\n2,3\n")
    assert launch(["fdl", "--mode=predict", f"--workdir={run}", f"--input={tmp_path / 'new.csv'}"]) == 0
    assert "area: 1 of 2 values are missing (1 missing as 'big')" in capfd.readouterr().out


def test_another_column_of_texts_is_taken_with_a_line(tmp_path):
    rows = pandas.DataFrame({"said": [f"{['good', 'bad'][i % 2]} {i}" for i in range(60)], "y": ["a", "b"] * 30})
    rows.to_csv(tmp_path / "t.csv", index=False)
    made = fdl.load("text", dataset=str(tmp_path / "t.csv"), target="y", epochs=1.0)
    new = new_rows(made.dataset, pandas.DataFrame({"town": ["Ulm is good", "Kiel is bad"], "n": [1.5, 2.5]}))
    assert new.notes[0].endswith("has no column said, which was trained on: the one town is read")


def test_a_table_on_standard_input_is_one_for_texts_too(tmp_path, monkeypatch):
    rows = pandas.DataFrame({"said": [f"{['good', 'bad'][i % 2]} {i}" for i in range(60)], "y": ["a", "b"] * 30})
    rows.to_csv(tmp_path / "t.csv", index=False)
    made = fdl.load("text", dataset=str(tmp_path / "t.csv"), target="y", epochs=1.0, batch_size=16)
    fdl.train(replace(made, executor="jit"), tmp_path / "run", log=None)
    counts = []
    for place, text in enumerate(
        ("Id,said\n7,good\n8,bad\n", '{"said": "good"}\n{"said": "bad"}\n', "good, really\nbad\n")
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        counts.append(
            len(
                predict_new(made, tmp_path / "run", "-", output=str(tmp_path / f"{place}.csv"), log=None)
                .read_text()
                .splitlines()
            )
        )
    assert counts == [3, 3, 3]  # and a header


@pytest.mark.parametrize("mode", ["predict", "export"])
def test_an_output_below_a_file_is_one_line(run, tmp_path, capfd, mode):
    (tmp_path / "a.png").write_bytes(b"x")
    name = {"predict": "p.csv", "export": "m.stablehlo"}[mode]
    assert launch(["fdl", f"--mode={mode}", f"--workdir={run}", f"--output={tmp_path / 'a.png' / name}"]) != 0
    assert "a.png, which is a file; give a file in a folder" in capfd.readouterr().err


def test_an_input_that_is_empty_is_no_split(run, capfd):
    assert launch(["fdl", "--mode=predict", f"--workdir={run}", "--input="]) != 0
    assert "--input is empty; give a file" in capfd.readouterr().err


def test_a_folder_that_was_copied_in_part_says_what_lacks(run, tmp_path, capfd):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "dataset.json").unlink()
    assert launch(["fdl", "--mode=predict", f"--workdir={tmp_path / 'run'}"]) != 0
    assert "lacks dataset.json; copy all" in capfd.readouterr().err


def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path, capfd, monkeypatch):
    assert [endings.extra_with(name) for name in ("pandas.core", "av", "nothing")] == ["files", "video", ""]
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(60)))
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert launch(["fdl", "--experiment=table", f"--dataset={tmp_path / 't.csv'}", "--target=b"]) != 0
    assert "this needs pyarrow, which is not installed; pip install 'fdl[files]'" in capfd.readouterr().err
