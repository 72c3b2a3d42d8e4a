from pathlib import Path

import pytest

from fdl.runs.restart_log import RestartLog, lost


def start(folder: Path, step: int = 0, logged: float = 0.0, saved: float = 0.0, *, ticks: tuple[float, ...] = (0.0,)):
    clock = iter(ticks)
    return RestartLog(folder, 1e9, step, logged=logged, saved=saved, begun=next(clock), clock=lambda: next(clock))


def test_what_an_interruption_costs():
    first = {"redone": 0.0, "starting": 5.0}
    assert lost([first]) == 0
    # 3 s of training behind the last commit, and 4 s until the first steps of the start that goes on.
    assert lost([first, {"redone": 3.0, "starting": 4.0}]) == 3 + 4
    # Killed before its first steps: how long it took is not known.
    assert lost([first, {"redone": 3.0, "starting": None}, {"redone": 0.0, "starting": 4.0}]) == 3 + 4


def test_a_start_is_noted_at_once_and_damage_does_not_stop_it(tmp_path: Path):
    start(tmp_path, ticks=(0.0, 1.0)).mark_running()
    again = start(tmp_path, 10, logged=7.0, saved=6.0, ticks=(3.0, 3.5, 99.0))
    again.mark_running()
    again.mark_running()
    assert again.cost() == {"interruptions": 1, "lost_seconds": 1.0 + 0.5}
    for damage in (
        "[", "[" * 9999, "{}", "[{}]", "[1]", "null",
        '[{"at": "x", "step": 0, "redone": 1, "starting": 1}]',
        '[{"at": 1, "step": 0, "redone": -1, "starting": 1}]',
        '[{"at": 1, "step": 0, "redone": NaN, "starting": 1}]',
        '[{"at": 1, "step": 0, "redone": 1e999, "starting": 1}]',
    ):  # fmt: skip
        (tmp_path / "starts.json").write_text(damage)
        assert start(tmp_path, 10).cost()["interruptions"] == 0


def test_no_clock_that_is_set_and_no_file_time_makes_a_cost(tmp_path: Path):
    start(tmp_path, ticks=(0.0, 1.0)).mark_running()
    # A log that a hand has cut to before the commit, and a clock that goes back.
    again = start(tmp_path, 10, logged=2.0, saved=6.0, ticks=(9.0, 3.0))
    again.mark_running()
    assert again.cost() == {"interruptions": 1, "lost_seconds": 0.0}


def test_starts_of_an_earlier_version_are_counted(tmp_path: Path):
    older = '[{"at": 5.0, "step": 0, "saved": null, "ended_before": null, "running": 9.0}]'
    (tmp_path / "starts.json").write_text(older)
    assert start(tmp_path, 10).cost() == {"interruptions": 1, "lost_seconds": pytest.approx(0.0)}
