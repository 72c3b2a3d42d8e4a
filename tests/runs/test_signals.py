import os
import signal
import subprocess
import sys

import pytest

import fdl
import tiny
from fdl.core.errors import Stopped
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED, lines
from fdl.runs.signals import Request, on_request


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_noted_and_handlers_come_back(number):
    # The tests may run where signals are ignored, as by nohup and in the background of a script.
    outside = {each: signal.signal(each, signal.default_int_handler) for each in (number, signal.SIGINT)}
    before = signal.getsignal(number)
    with on_request() as request:
        os.kill(os.getpid(), number)
        assert request.signal == number.name
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # a second Ctrl-C leaves at once
    assert signal.getsignal(number) == before
    for each, handler in outside.items():
        signal.signal(each, handler)


def test_of_several_processes_none_stops_before_all_have_agreed():
    with on_request(2) as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not request.made()
        request.agree(lambda number: number)
        assert request.made()
    other = Request(2)
    other.agree(lambda _: signal.SIGTERM)
    assert other.signal == "SIGTERM"


def test_a_signal_while_modules_are_imported_is_one_line_and_no_crash():
    code = "import os\nfrom fdl.runs import signals\nsignals.leave_on_request(tidy=False)\nos.kill(os.getpid(), 15)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (75, 1)
    assert ended.stderr.startswith("error: SIGTERM: left at once")


def test_a_signal_that_a_collection_of_garbage_swallows_is_heard_again():
    code = """
import gc, os, time
from fdl.cli import endings
from fdl.runs import signals

def work():
    signals.leave_on_request()
    gc.callbacks.append(lambda phase, _: os.kill(os.getpid(), 15) if phase == "stop" else None)
    gc.collect()
    del gc.callbacks[:]
    time.sleep(30)
    return 1

raise SystemExit(endings.stoppable(work))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (75, 1), ended.stderr
    assert ended.stderr.startswith("error: SIGTERM: left at once")


def test_a_stopped_run_is_saved_and_goes_on_as_if_it_had_not_been(tmp_path):
    made = tiny.experiment(executor="jit", steps_per_call=1)
    whole = fdl.train(made, tmp_path / "whole", log=lambda _: None)
    ticks = iter(range(10**6))

    def clock() -> float:  # read twice per `train_until_due`: the signal comes in the second
        if next(ticks) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.001 * next(ticks)

    with pytest.raises(Stopped, match=r"SIGTERM at step [0-9]+: everything is saved"):
        fdl.train(made, tmp_path / "stopped", log=lambda _: None, clock=clock)
    last = Checkpoints(tmp_path / "stopped" / "checkpoints").last()
    assert last is not None
    assert 0 < last < made.steps
    report = fdl.train(made, tmp_path / "stopped", log=lambda _: None)
    assert report["metrics"] == whole["metrics"]
    assert (whole["interruptions"], report["interruptions"]) == (0, 1)
    ours, theirs = (
        [{**line, **dict.fromkeys(CLOCKED)} for line in lines(tmp_path / name / "metrics.jsonl")]
        for name in ("stopped", "whole")
    )
    assert ours == theirs


def test_a_signal_that_was_ignored_from_the_start_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with on_request() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request.made()
            os.kill(os.getpid(), signal.SIGTERM)
            assert request.signal == "SIGTERM"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_first_signal_is_the_one_that_is_named():
    with on_request() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        assert request.signal == "SIGTERM"


def test_many_signals_are_one_line_and_one_exit_code():
    code = """
import os, threading, time
from fdl.cli import endings
from fdl.runs import signals

def work():
    signals.leave_on_request()
    threading.Thread(target=lambda: [(os.kill(os.getpid(), 15), time.sleep(0.0005)) for _ in range(400)]).start()
    time.sleep(30)

raise SystemExit(endings.stoppable(work))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (75, 1), ended.stderr
