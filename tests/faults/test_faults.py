"""A few tries of the fault gate with the other tests; `python tests/faults/gate.py` runs it whole."""

import subprocess
import sys
from pathlib import Path

import pytest

GATE = Path(__file__).parent / "gate.py"


def gate(tmp_path: Path, rows: str, tries: int) -> str:
    """Run some rows; the process starts runs by fork, so it must not be this one, which has started JAX."""
    table = tmp_path / "table.md"
    table.write_text("")
    done = subprocess.run(
        [sys.executable, str(GATE), f"--rows={rows}", f"--tries={tries}", "--seed=0", f"--table={table}"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return table.read_text()


def test_killed_and_stopped_runs_end_as_if_nothing_had_happened(tmp_path):
    table = gate(tmp_path, "1,2", 1)
    assert "SIGKILL" in table
    assert "SIGTERM" in table


@pytest.mark.slow
@pytest.mark.parametrize("row", [3, 5, 6, 7, 10, 11, 12, *range(16, 30)])
def test_the_gate_in_small(tmp_path, row):
    gate(tmp_path, str(row), 12)
