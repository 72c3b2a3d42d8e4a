"""Timing agrees with a stopwatch, and says so only where it may."""

import threading

import pytest

from fdl.clockwork import Window, compare, steady, summary, window


class Stopwatch:
    """A clock that only what is done moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(feeding: float, working: float, seconds: float) -> tuple[Window, list[int]]:
    clock, waited, sent = Stopwatch(), [], []

    def feed() -> int:
        clock.sleep(feeding)
        return len(sent)

    def send(number: int) -> int:
        sent.append(number)
        assert len(sent) - len(waited) <= 2, "more than one call ahead"
        return number

    def wait(number: int) -> None:
        clock.sleep(working)
        waited.append(number)

    seen = window(send, feed, wait, clock, seconds)
    assert sent == waited
    return seen, waited


def test_a_known_sleep_is_measured_exactly():
    seen, waited = run(feeding=0.25, working=0.75, seconds=10)
    assert seen.calls == len(waited)
    assert seen.seconds == pytest.approx(seen.calls * 1.0)
    told = summary([seen], steps=4)
    assert told["steps_per_second"] == pytest.approx(4.0)
    assert told["input_fraction"] == pytest.approx(0.25)
    assert told["ms_p50"] == pytest.approx(250.0)


def test_the_stopwatch_sees_the_end_of_a_call_while_the_loop_is_elsewhere():
    clock, done = Stopwatch(), threading.Event()

    def send(number: int) -> int:
        return number

    def feed() -> int:
        if clock.now:  # the loop is kept here until the first call has ended and been seen
            assert done.wait(10)
            clock.sleep(5.0)
        return 0

    def wait(_: int) -> None:
        if not done.is_set():
            clock.sleep(1.0)
            done.set()

    seen = window(send, feed, wait, clock, 1.0)
    assert seen.per_call[0] == 1.0, "the loop's own delay was timed"


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
