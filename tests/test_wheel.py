"""What an installed fdl does, away from the repository: its wheel is built and put into an empty environment."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("fdl", "experiments", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def call(*words, cwd, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PYTHONPATH")}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, cwd=cwd, env={**kept, "JAX_PLATFORMS": "cpu", **environment}
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the folder of the programs of an environment that holds fdl's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source, wheels, environment = folder / "source", folder / "wheels", folder / "environment"
    source.mkdir()
    for name in SOURCES:  # a copy: setuptools would leave build/ in the repository, and ship what it held before
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    made = call(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source, cwd=folder)
    assert made.returncode == 0, made.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (wheel,) = wheels.iterdir()
    put = call(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    assert put.returncode == 0, put.stderr
    # JAX and the others come from where the tests have them. A folder named in a .pth file has its own .pth files left
    # alone: an editable fdl there is not seen.
    where = sysconfig.get_path("purelib", vars={"base": str(environment)})
    (Path(where) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def test_the_default_trains_and_the_same_command_finds_it_finished(installed, tmp_path):
    done = call(installed / "fdl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs" / "digits_mlp" / "report.json").read_text())
    assert report["metrics"]["test"]["accuracy"] > 0.95
    assert json.loads((tmp_path / "runs" / "digits_mlp" / "experiment.json").read_text())["commit"] is None
    again = call(installed / "python", "-m", "fdl", cwd=tmp_path)
    assert (again.returncode, "finished already" in again.stdout) == (0, True), again.stderr


def test_all_pages_are_there_by_either_name_of_the_command(installed, tmp_path):
    listings = [
        call(*words, "--list", cwd=tmp_path) for words in ([installed / "fdl"], [installed / "python", "-m", "fdl"])
    ]
    assert [done.returncode for done in listings] == [0, 0], listings
    assert listings[0].stdout == listings[1].stdout
    shipped = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    assert {line.split()[0] for line in listings[0].stdout.splitlines() if not line.startswith(" ")} == shipped


def test_help_names_the_command_that_was_typed(installed, tmp_path):
    assert "    fdl --list  " in call(installed / "fdl", "--help", cwd=tmp_path).stdout
    assert "    python -m fdl --list  " in call(installed / "python", "-m", "fdl", "--help", cwd=tmp_path).stdout


def test_a_page_is_loaded_by_its_name_from_any_folder(installed, tmp_path):
    code = "import fdl, fdl.pages; print(fdl.__file__, fdl.load('digits_mlp', width=8).name, fdl.__version__)"
    done = call(installed / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file, name, version = done.stdout.split()
    assert Path(file).is_relative_to(installed.parent), "it is the wheel's"
    assert (name, version) == ("digits_mlp", "0.2.0")
    assert Path(file).with_name("py.typed").is_file()
    native = "models/kernels/native"
    sources = {path.name for path in (ROOT / "fdl" / native).iterdir() if path.suffix in (".h", ".cc")}
    assert sources
    assert sources <= {path.name for path in (Path(file).parent / native).iterdir()}


def test_a_sweep_starts_its_runs_with_the_command_that_was_installed(installed, tmp_path):
    words = ["--sweep=seed=0,1", "--epochs=1", "--width=8", "--workdir=both"]
    done = call(installed / "fdl", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == [
        "compare.html",
        "seed=0",
        "seed=1",
        "sweep.json",
    ]
