from pathlib import Path

import pytest

from fdl.runs.interruptions import Starts, lost


def test_what_an_interruption_costs():
    first = {"at": 0.0, "step": 0, "saved": None, "ended_before": None, "running": 5.0}
    assert lost([first]) == 0
    # Saved at 10, last heard of at 13, started again at 100 (nothing ran between), its first steps done at 104.
    second = {"at": 100.0, "step": 50, "saved": 10.0, "ended_before": 13.0, "running": 104.0}
    assert lost([first, second]) == 3 + 4
    # Killed before its first step, 2 s after it began: nothing of it counts twice.
    third = {"at": 200.0, "step": 50, "saved": 10.0, "ended_before": 13.0, "running": None}
    fourth = {"at": 300.0, "step": 50, "saved": 10.0, "ended_before": 202.0, "running": 304.0}
    assert lost([first, third, fourth]) == 3 + 2 + 4


def test_a_start_is_noted_at_once_and_damage_does_not_stop_it(tmp_path: Path):
    ticks = iter([1.0, 7.5])
    Starts(tmp_path, 0.0, 0, None, lambda: next(ticks)).runs()
    again = Starts(tmp_path, 6.0, 10, 1.0, lambda: next(ticks))
    again.runs()
    again.runs()
    assert again.cost() == {"interruptions": 1, "lost_seconds": pytest.approx(1.5)}
    for damage in (
        "[",
        "[" * 9999,
        "{}",
        "[{}]",
        "[1]",
        '[{"at": "x", "step": 0, "saved": 1, "ended_before": 1, "running": 1}]',
    ):
        (tmp_path / "starts.json").write_text(damage)
        assert Starts(tmp_path, 6.0, 10, 1.0).cost()["interruptions"] == 0
