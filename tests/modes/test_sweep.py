import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdl.core.errors import Fault
from fdl.modes.sweep import parse, sweep, this_command

RUN = """
import json, pathlib, sys
flags = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
place = pathlib.Path(flags["workdir"])
place.mkdir(exist_ok=True)
(place / "starts").write_text((place / "starts").read_text() + "x" if (place / "starts").exists() else "x")
if int(flags["width"]) == 13:
    sys.exit(1)
report = {"step": 1, "primary": "loss", "better": "lower", "metrics": {"validation": {"loss": 1 / int(flags["width"])}}}
(place / "report.json").write_text(json.dumps(report))
(place / "experiment.json").write_text(json.dumps({"identity": flags}))
"""


def test_every_combination_is_a_run_and_the_best_comes_first(tmp_path: Path) -> None:
    settings = {"width": ["2", "8"], "seed": ["0", "1"]}
    found = sweep([sys.executable, "-c", RUN], settings, tmp_path, log=str)
    assert [report["settings"]["width"] for report in found] == ["8", "8", "2", "2"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        f"width={width},seed={seed}" for width in (2, 8) for seed in (0, 1)
    }
    assert json.loads((tmp_path / "sweep.json").read_text()) == found


def test_a_run_that_reached_no_number_comes_last(tmp_path: Path) -> None:
    run = RUN.replace('1 / int(flags["width"])', '{"3": None, "4": float("nan")}.get(flags["width"], 0.5)')
    said: list[str] = []
    found = sweep([sys.executable, "-c", run], {"width": ["3", "4", "2"]}, tmp_path, log=said.append)
    assert [report["settings"]["width"] for report in found] == ["2", "3", "4"]
    rows = [line.split()[:3] for line in said if line.startswith("width=")]
    assert rows == [["width=2", "0.5", "2"], ["width=3", "nan", "3"], ["width=4", "nan", "4"]]
    assert "NaN" not in (tmp_path / "sweep.json").read_text()


def test_one_that_fails_does_not_end_the_others_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="1 of 3 runs failed: width=13; start the sweep again"):
        sweep([sys.executable, "-c", RUN], {"width": ["2", "13", "4"]}, tmp_path, log=str)
    assert (tmp_path / "width=4" / "report.json").exists()


def test_settings_are_read_from_text() -> None:
    assert parse("width=64,128 seed=0") == {"width": ["64", "128"], "seed": ["0"]}
    for wrong in ("width", "width=", "=1", "width=1,,2"):
        with pytest.raises(ValueError, match="write flag=value,value"):
            parse(wrong)


def test_the_command_is_this_one_less_what_the_sweep_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["launch.py", "--epochs=3", "--sweep=width=1,2", "--workdir", "s", "--seed=1"])
    assert this_command(("sweep", "workdir")) == [sys.executable, "launch.py", "--epochs=3", "--seed=1"]


def test_a_signal_reaches_the_run_under_way_and_the_sweep_ends_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run.py"
    run.write_text(
        "import os, pathlib, signal, sys, time\n"
        "place = pathlib.Path(sys.argv[-1].partition('=')[2])\n"
        "def stop(number, frame):\n"
        "    time.sleep(0.3)\n"
        "    (place / 'saved').touch()\n"
        "    os._exit(75)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "place.mkdir()\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import pathlib, sys\n"
        "from fdl.cli import endings\n"
        "from fdl.modes.sweep import sweep\n"
        "command, settings = [sys.executable, sys.argv[1]], {'seed': ['0', '1']}\n"
        "sys.exit(endings.stoppable(lambda: sweep(command, settings, pathlib.Path(sys.argv[2])) and 0))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, str(run), str(tmp_path / "sweep")], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "sweep" / "seed=0").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.startswith("error: SIGTERM: stopped")) == (75, True), said
    assert (tmp_path / "sweep" / "seed=0" / "saved").exists()
    assert not (tmp_path / "sweep" / "seed=1").exists()


@pytest.mark.parametrize("program", ["/venv/bin/fdl", "C:/venv/Scripts/fdl.exe", "/venv/lib/fdl/__main__.py"])
def test_an_installed_command_is_started_again_as_a_module(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--sweep", "width=1,2", "--seed=1"])
    assert this_command(("sweep",)) == [sys.executable, "-m", "fdl", "--seed=1"]
