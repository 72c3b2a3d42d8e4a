"""The notebook runs from top to bottom; `nox -s notebook` does so with the very versions of Colab's TPU runtime."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK, COURSE = ROOT / "notebooks" / "colab_tpu.ipynb", ROOT / "notebooks" / "course.ipynb"


@pytest.mark.parametrize("notebook", [NOTEBOOK, COURSE])
def test_the_notebook_is_kept_without_outputs(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("!")]
            compile("".join(lines), str(notebook), "exec")


@pytest.mark.parametrize("notebook", [NOTEBOOK, COURSE])
def test_what_the_notebook_imports_from_fdl_exists(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    source = "".join(line for cell in cells for line in [*cell["source"], "\n"] if not line.startswith(("!", "%")))
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    own = [node for node in imports if node.module and node.module.split(".")[0] in ("fdl", "experiments")]
    assert own
    for node in own:
        for name in (alias.name for alias in node.names):
            found = hasattr(importlib.import_module(str(node.module)), name)
            assert found or importlib.util.find_spec(f"{node.module}.{name}"), f"{node.module} has no {name}"


def executed(notebook: Path, folder: Path, **environment: str) -> str:
    """Run a notebook from top to bottom in a copy of the repository and return what its cells printed."""
    copy = folder / "fdl"

    def left_out(path: str, names: list[str]) -> list[str]:
        outputs = ("runs", "build") if Path(path) == ROOT else ()  # fdl/runs is a package
        made = (".egg-info", "__pycache__")
        return [name for name in names if name.startswith(".") or name.endswith(made) or name in outputs]

    shutil.copytree(ROOT, copy, ignore=left_out)
    script = (
        "import nbformat, nbclient, sys; notebook = nbformat.read(sys.argv[1], 4);"
        "nbclient.NotebookClient(notebook, timeout=600).execute(); nbformat.write(notebook, 'executed.ipynb')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, copy / "notebooks" / notebook.name],
        cwd=copy,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((copy / "executed.ipynb").read_text())["cells"]
    return "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", ()))


@pytest.mark.slow
def test_the_notebook_runs(tmp_path) -> None:
    said = executed(NOTEBOOK, tmp_path, FDL_EPOCHS="3", XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert "nothing moved: " in said
    assert "all is well" in said or "need you" in said
    assert "8 cpu devices" in said
    assert said.count("finished already") == 2
    assert "bound by" in said
    assert "over 8 members" in said


@pytest.mark.slow
def test_the_course_runs_as_a_notebook(tmp_path) -> None:
    said = executed(COURSE, tmp_path, XLA_FLAGS="")  # one device, whatever these tests simulate
    assert "error:" not in said
    assert "submission.csv" in said
