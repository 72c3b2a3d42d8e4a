"""Timing agrees with a stopwatch, and says so only where it may."""

import threading

import pytest

from fdl.profiling.timing import Window, compare, steady, summary, window


class Stopwatch:
    """A clock that only what is done moves; `read` is released whenever the waiting thread has looked at it."""

    def __init__(self):
        self.now, self.read = 0.0, threading.Semaphore(0)

    def __call__(self) -> float:
        now = self.now
        if threading.current_thread().name.startswith("stopwatch"):
            self.read.release()
        return now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(feeding: float, working: float, seconds: float) -> tuple[Window, list[int]]:
    """Feeds and works by the clock, each call only after the thread has seen the end of the one before."""
    clock, waited, sent = Stopwatch(), [], []

    def feed() -> int:
        if sent:
            assert clock.read.acquire(timeout=10), "no thread looked at the clock"
        clock.sleep(feeding)
        return len(sent)

    def send(number: int) -> int:
        clock.sleep(working)
        sent.append(number)
        return number

    seen = window(send, feed, waited.append, clock, seconds)
    assert sent == waited
    return seen, waited


def test_a_known_sleep_is_measured_exactly():
    seen, waited = run(feeding=0.25, working=0.75, seconds=10)
    assert seen.calls == len(waited) == 10
    assert seen.seconds == pytest.approx(10.0)
    told = summary([seen], steps=4)
    assert told["steps_per_second"] == pytest.approx(4.0)
    assert told["input_fraction"] == pytest.approx(0.25)
    assert told["ms_p50"] == told["ms_p95"] == pytest.approx(250.0)


def test_one_call_goes_ahead_and_never_more():
    sent, waited = [], []

    def send(number: int) -> int:
        assert len(sent) - len(waited) <= 1, "more than one call ahead"
        sent.append(number)
        return number

    ticks = iter(range(10**6))
    window(send, lambda: len(sent), waited.append, lambda: float(next(ticks)), 200.0)
    assert sent == waited
    assert len(sent) > 10


def test_slow_calls_show_in_the_tail():
    told = summary([Window(20, 21.0, 0.0, (1.0,) * 18 + (1.5, 3.0))], steps=1)
    assert told["ms_p50"] == pytest.approx(1000.0)
    assert told["ms_p95"] > 1500


def test_warming_up_ends_when_two_windows_agree():
    seconds = iter([9.0, 4.0, 2.0, 2.05, 2.0])
    assert steady(lambda: Window(1, next(seconds), 0.0, ())) == 4


def test_warming_up_ends_at_last():
    seconds = iter(range(1, 100))
    assert steady(lambda: Window(1, 2.0 ** next(seconds), 0.0, ()), most=6) == 6


def test_a_tie_is_called_a_tie():
    before = {"steps_per_second": 100.0, "lowest": 95.0, "highest": 105.0}
    assert "tie" in compare({"steps_per_second": 104.0, "lowest": 99.0, "highest": 110.0}, before)
    assert compare({"steps_per_second": 150.0, "lowest": 140.0, "highest": 160.0}, before).startswith("1.50 times")
