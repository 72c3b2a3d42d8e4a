import json
import sys
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
report = {"primary": "loss", "better": "lower", "metrics": {"validation": {"loss": 1 / int(flags["width"])}}}
(place / "report.json").write_text(json.dumps(report))
"""


def test_every_combination_is_a_run_and_the_best_comes_first(tmp_path: Path) -> None:
    settings = {"width": ["2", "8"], "seed": ["0", "1"]}
    found = sweep([sys.executable, "-c", RUN], settings, tmp_path, say=str)
    assert [report["settings"]["width"] for report in found] == ["8", "8", "2", "2"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        f"width={width},seed={seed}" for width in (2, 8) for seed in (0, 1)
    }
    assert json.loads((tmp_path / "sweep.json").read_text()) == found


def test_one_that_fails_does_not_end_the_others_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="1 of 3 runs failed: width=13; start the sweep again"):
        sweep([sys.executable, "-c", RUN], {"width": ["2", "13", "4"]}, tmp_path, say=str)
    assert (tmp_path / "width=4" / "report.json").exists()


def test_settings_are_read_from_text() -> None:
    assert parse("width=64,128 seed=0") == {"width": ["64", "128"], "seed": ["0"]}
    for wrong in ("width", "width=", "=1", "width=1,,2"):
        with pytest.raises(ValueError, match="write flag=value,value"):
            parse(wrong)


def test_the_command_is_this_one_less_what_the_sweep_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["launch.py", "--epochs=3", "--sweep=width=1,2", "--workdir", "s", "--seed=1"])
    assert this_command(("sweep", "workdir")) == [sys.executable, "launch.py", "--epochs=3", "--seed=1"]
