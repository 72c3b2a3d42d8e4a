from dataclasses import replace

import pytest

import tiny
from fdl.modes import forecast
from fdl.modes.forecast import Forecast, cost
from fdl.profiling.flops import Work


class Compiling:
    compile_seconds = 0.0


def said_after(monkeypatch, times, *, steps=1000, platform="cpu", knobs=None, compiles_at=()):
    """Return what is said when a call of ten steps is dispatched at each of these times."""
    lines, call, now = [], Compiling(), iter(times)
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: next(now))
    made = replace(tiny.experiment(steps=steps), knobs=knobs or {})
    told = Forecast(made, 0, call, platform, lines.append)
    for i in range(len(times)):
        if i in compiles_at:
            call.compile_seconds += 1.0
        told.dispatched(10)
    return lines


def test_the_time_of_the_run_is_said_after_the_first_calls(monkeypatch):
    assert said_after(monkeypatch, [0.0, 0.5, 1.0]) == ["about 50 seconds of training here (20 steps/s)"]
    assert said_after(monkeypatch, [0.0, 0.5, 1.0], steps=100) == []  # five seconds


def test_compiling_is_no_training(monkeypatch):
    assert said_after(monkeypatch, [0.0, 100.0, 101.0], compiles_at=(0, 1)) == [
        "about 2 minutes of training here (10 steps/s)"
    ]


def test_a_long_run_on_a_cpu_is_warned_of_with_what_to_change(monkeypatch):
    knobs = {"epochs": 0, "width": 64, "length": 0}
    (line,) = said_after(monkeypatch, [0.0, 10.0], steps=2400, knobs=knobs)
    assert line == (
        "warning: about 40 minutes of training on this CPU (1 steps/s); --epochs=1.2e+02 or --minutes=10 takes ten; "
        "--width=32 makes a step cheaper"
    )
    assert said_after(monkeypatch, [0.0, 10.0], steps=2400, platform="gpu", knobs=knobs) == [
        "about 40 minutes of training here (1 steps/s)"
    ]


@pytest.mark.parametrize(
    ("work", "members", "phrase"),
    [
        (Work(2e6, frozenset()), 1, "1,234 parameters, 2 MFLOP a step, 2 GFLOP in all"),
        (Work(2e6, frozenset()), 3, "1,234 parameters each, 2 MFLOP a step each, 6 GFLOP in all"),
        (Work(0.0, frozenset()), 1, "1,234 parameters"),
    ],
)
def test_the_cost(work, members, phrase):
    assert cost(1234, work, 1000, members) == phrase
