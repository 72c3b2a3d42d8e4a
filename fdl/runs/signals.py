"""Stopping on request: a signal is noted, and the loop ends where its state can be saved.

The first signal decides. Those after it find the process on its way out, where another exception would only be in the
way of the first; a second Ctrl-C alone ends it at once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from fdl.core.errors import STOPPED, Stopped

PARENT = "FDL_PARENT"  # the variable that names the process a run is to end with
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Request:
    """What was asked of the run.

    noted: the signal that this process heard, or None. agreed: the one that all processes know of: what only one of
    several has heard, between two agreements, it must not act upon, or the others would wait for it.
    """

    noted: str | None = None
    agreed: str | None = None

    def __init__(self, processes: int = 1):
        self.processes = processes

    @property
    def signal(self) -> str | None:
        """Return the name of the signal that is to be obeyed, or None."""
        return self.noted if self.processes == 1 else self.agreed

    def alone(self) -> bool:
        """Say whether a stop was requested that nobody else need agree to."""
        return self.processes == 1 and self.made()

    def agree(self, largest: Callable[[int], int]) -> None:
        """Take over the signal that any process noted, so that all stop at the same step."""
        if number := largest(signal.Signals[self.noted] if self.noted else 0):
            self.agreed = signal.Signals(number).name

    def made(self) -> bool:
        """Say whether a stop was requested."""
        return self.signal is not None

    def obey(self, step: int, steps: int, finish_saving: Callable[[], None]) -> None:
        """Raise Stopped once the save is finished, where a stop was requested and there are steps left to stop from."""
        if self.made() and step < steps:
            finish_saving()
            raise Stopped(f"{self.signal} at step {step}: everything is saved; the same command goes on from there")

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; from here on Ctrl-C ends the process at once, inside compiled code too."""
        self.noted = self.noted or signal.Signals(number).name
        _let_interrupt_end()
        if number == signal.SIGHUP:  # the terminal is gone, and writing to it would be the next fault
            null = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    os.dup2(null, stream.fileno())


def _let_interrupt_end() -> None:
    """Let Ctrl-C end the process at once, as a second one does."""
    if signal.SIGINT in heeded():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def heeded() -> list[signal.Signals]:
    """Return the signals to answer: one that is ignored since the start is meant to be (`nohup`, `&` in a script)."""
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def on_request(processes: int = 1) -> Iterator[Request]:
    """Note SIGTERM, SIGINT and SIGHUP instead of dying of them; outside the main thread nothing is noted."""
    request = Request(processes)
    try:
        before = {number: signal.signal(number, request.note) for number in heeded()}
    except ValueError:  # signals belong to the main thread
        before = {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            if isinstance(handler, _Leave):
                handler.heard = handler.heard or request.noted
            signal.signal(number, handler)


def leave_on_request(tidy: bool = True) -> None:
    """Leave on SIGTERM, SIGINT and SIGHUP, for all that is not training: there is nothing to save.

    tidy: by an exception, so that what is half done is put away. Modules that are being imported may crash over one,
    and one of several processes would wait in JAX's farewell for others that wait for it: these leave as they stand.
    """

    def at_once(number: int, frame: FrameType | None) -> None:
        os.write(2, f"error: {_left(signal.Signals(number).name)}\n".encode())
        os._exit(STOPPED)

    leave = _Leave()
    if tidy:
        sys.unraisablehook = leave.unraisable
    for number in heeded():
        signal.signal(number, leave if tidy else at_once)


class _Leave:
    """Leaves the process on the first signal, by raising Stopped.

    Where Python lets no exception through (callbacks of its garbage collections, as JAX has one, and finalizers), it is
    raised once more a moment later. heard: the name of the first signal; others are ignored from then on.
    """

    def __init__(self) -> None:
        self.heard: str | None = None
        self.again = False
        self.before = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.heard and not self.again:
            return
        self.heard = self.heard or signal.Signals(number).name
        _let_interrupt_end()
        if self._is_in_hook(frame):  # there it would be lost
            self._send_again()
            return
        self.again = False
        raise Stopped(_left(self.heard))

    def unraisable(self, seen: "sys.UnraisableHookArgs") -> None:
        """Take the place of sys.unraisablehook."""
        if isinstance(seen.exc_value, Stopped):
            self._send_again()
        else:
            self.before(seen)

    def _is_in_hook(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is _Leave.unraisable.__code__:
                return True
            frame = frame.f_back
        return False

    def _send_again(self) -> None:
        def send() -> None:
            while self.again:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
                time.sleep(0.01)

        if not self.again:
            self.again = True
            threading.Thread(target=send, daemon=True).start()


def leaving() -> None:
    """Ignore signals from here on: all is done but the interpreter's farewell, and the exit code is to say so."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _left(name: str) -> str:
    return f"{name}: left at once; the same command goes on from the last checkpoint"


def run_child(command: Sequence[str]) -> int:
    """Run a command to its end and return its exit code; signals are passed on to it.

    Raises Stopped, once it has ended, where one was or where the command says that it was stopped. It has a session of
    its own, so that a Ctrl-C reaches it once; where this process is killed, it is asked to stop
    (`end_with_parent`).
    """
    heard: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if child is not None:
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in heeded()}
    try:
        child = subprocess.Popen(command, start_new_session=True, env={**os.environ, PARENT: str(os.getpid())})
        for number in heard:
            child.send_signal(number)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard or code == STOPPED:
        name = signal.Signals(heard[0]).name if heard else "the run under way"
        raise Stopped(f"{name}: stopped, and what was saved stays; the same command goes on")
    return code


def end_with_parent() -> None:
    """Have the kernel ask this process to stop when the one dies that began it by `run_child`; Linux alone can."""
    if os.environ.pop(PARENT, "") == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
