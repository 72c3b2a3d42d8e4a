import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fdl
import tiny
from fdl.data.readers.supplied import IN_MEMORY
from fdl.modes.next_commands import next_commands, program, writes_text
from fdl.runs.page_copy import copy_page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["python", "launch.py", "--seed=1"], ["python", "launch.py"]),
        ([".venv/bin/python", "-m", "fdl"], [".venv/bin/python", "-m", "fdl"]),
        (["/env/bin/python", "/env/bin/fdl"], ["fdl"]),
    ],
)
def test_a_command_begins_as_the_run_was_started(monkeypatch, tmp_path, typed, words):
    (tmp_path / "fdl").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "orig_argv", typed)
    monkeypatch.setattr(sys, "argv", ["/fdl/__main__.py" if typed[1] == "-m" else typed[1]])
    assert program() == words


def test_a_language_model_writes_on_and_others_predict(tmp_path):
    page = fdl.load("digits_mlp")
    copy_page(tmp_path / "a run", page.page, page.knobs, page.monitor)
    commands = [shlex.split(command) for command in next_commands(page, tmp_path / "a run", 400)]
    assert all(f"--workdir={tmp_path / 'a run'}" in words for words in commands)
    assert [words[-1] for words in commands] == ["--mode=predict", "--checkpoint=best", "--mode=export"]
    assert not writes_text(page)
    assert writes_text(fdl.load("pydoc_gpt", width=8, depth=1, heads=1))


def test_a_run_that_no_file_answers_for_is_restored_in_python():
    assert next_commands(tiny.experiment(), Path("R"), None) == ["model = fdl.restore('R')"]
    in_memory = replace(tiny.experiment(), knobs={"dataset": IN_MEMORY})
    assert next_commands(in_memory, Path("R"), None) == ["model = fdl.restore('R')"]
