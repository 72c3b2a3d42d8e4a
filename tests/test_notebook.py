"""The notebook runs from top to bottom; `nox -s notebook` does so with the very versions of Colab's TPU runtime."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "colab_tpu.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("!")]
            compile("".join(lines), str(NOTEBOOK), "exec")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path) -> None:
    copy = tmp_path / "fdl"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "runs", "*.egg-info", "__pycache__"))
    environment = {
        **os.environ,
        "FDL_EPOCHS": "3",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    script = (
        "import nbformat, nbclient, sys; notebook = nbformat.read(sys.argv[1], 4);"
        "nbclient.NotebookClient(notebook, timeout=600).execute(); nbformat.write(notebook, 'executed.ipynb')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, copy / "notebooks" / "colab_tpu.ipynb"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    executed = json.loads((copy / "executed.ipynb").read_text())
    said = "".join("".join(output.get("text", "")) for cell in executed["cells"] for output in cell.get("outputs", ()))
    assert "nothing moved: " in said
    assert "all is well" in said or "need you" in said
    assert "8 cpu devices" in said
    assert said.count("finished already") == 2
    assert "bound by" in said
    assert "over 8 members" in said
