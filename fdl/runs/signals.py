"""Graceful stops: a signal is recorded, and the training loop ends after its state is saved.

Only the first signal counts. Later ones are ignored, because an exception during shutdown would interrupt the handling
of the first; but a second Ctrl-C ends the process at once.
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

PARENT = "FDL_PARENT"  # environment variable with the pid of the parent process, with which a run ends
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Request:
    """A request to stop the run.

    noted: the signal that this process received, or None. agreed: the signal known to all processes. A process must not
    act on a signal before all have agreed on it, or the others would wait for it.
    """

    noted: str | None = None
    agreed: str | None = None

    def __init__(self, processes: int = 1):
        self.processes = processes

    @property
    def signal(self) -> str | None:
        """Return the name of the signal to act on, or None."""
        return self.noted if self.processes == 1 else self.agreed

    def alone(self) -> bool:
        """Return whether a stop was requested in a single-process run, where no agreement is needed."""
        return self.processes == 1 and self.made()

    def agree(self, largest: Callable[[int], int]) -> None:
        """Agree on a signal that any process received, so that all stop at the same step."""
        if number := largest(signal.Signals[self.noted] if self.noted else 0):
            self.agreed = signal.Signals(number).name

    def made(self) -> bool:
        """Return whether a stop was requested."""
        return self.signal is not None

    def obey(self, step: int, steps: int, finish_saving: Callable[[], None]) -> None:
        """If a stop was requested and steps are left, wait for the save and raise Stopped."""
        if self.made() and step < steps:
            finish_saving()
            raise Stopped(f"{self.signal} at step {step}: everything is saved; the same command goes on from there")

    def note(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal; from now on Ctrl-C ends the process at once, also inside compiled code."""
        self.noted = self.noted or signal.Signals(number).name
        _let_interrupt_end()
        if number == signal.SIGHUP:  # the terminal is closed, and writing to it would raise
            null = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    os.dup2(null, stream.fileno())


def _let_interrupt_end() -> None:
    """Restore the default handler of SIGINT, which ends the process at once."""
    if signal.SIGINT in handled_signals():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def handled_signals() -> list[signal.Signals]:
    """Return the signals to handle: those ignored from the start stay ignored (`nohup`, `&` in a script)."""
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def on_request(processes: int = 1) -> Iterator[Request]:
    """Record SIGTERM, SIGINT and SIGHUP instead of dying of them; has no effect outside the main thread."""
    request = Request(processes)
    try:
        before = {number: signal.signal(number, request.note) for number in handled_signals()}
    except ValueError:  # handlers can only be set in the main thread
        before = {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            if isinstance(handler, _Leave):
                handler.heard = handler.heard or request.noted
            signal.signal(number, handler)


def leave_on_request(tidy: bool = True) -> None:
    """Exit on SIGTERM, SIGINT and SIGHUP, for all modes but training: there is nothing to save.

    tidy: exit by an exception, so that temporary files are removed. Not during imports, which an exception may crash,
    nor in a multi-process run, which would wait in JAX's shutdown barrier: these exit immediately (`os._exit`).
    """

    def at_once(number: int, frame: FrameType | None) -> None:
        os.write(2, f"error: {_left(signal.Signals(number).name)}\n".encode())
        os._exit(STOPPED)

    leave = _Leave()
    if tidy:
        sys.unraisablehook = leave.unraisable
    for number in handled_signals():
        signal.signal(number, leave if tidy else at_once)


class _Leave:
    """Signal handler that raises Stopped on the first signal.

    Why the hook: Python swallows exceptions in finalizers and garbage-collection callbacks (JAX has one) and passes
    them to sys.unraisablehook. A Stopped that arrives there is raised again from a new signal a moment later.
    heard: the name of the first signal; later ones are ignored.
    """

    def __init__(self) -> None:
        self.heard: str | None = None
        self.resending = False
        self.before = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.heard and not self.resending:
            return
        self.heard = self.heard or signal.Signals(number).name
        _let_interrupt_end()
        if self._is_in_hook(frame):  # an exception there would be lost
            self._send_again()
            return
        self.resending = False
        raise Stopped(_left(self.heard))

    def unraisable(self, seen: "sys.UnraisableHookArgs") -> None:
        """Replacement of sys.unraisablehook: resend the signal if a Stopped was swallowed."""
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
            while self.resending:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
                time.sleep(0.01)

        if not self.resending:
            self.resending = True
            threading.Thread(target=send, daemon=True).start()


def leaving() -> None:
    """Ignore signals from now on: only the interpreter's shutdown is left, which must not change the exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _left(name: str) -> str:
    return f"{name}: left at once; the same command goes on from the last checkpoint"


def run_child(command: Sequence[str]) -> int:
    """Run a command, forward signals to it, and return its exit code.

    Raises Stopped, after the command has ended, if a signal was forwarded or the command's exit code says that it was
    stopped. The command runs in a separate session, so that Ctrl-C reaches it once; if this process is killed, it
    receives SIGTERM (`end_with_parent`).
    """
    heard: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if child is not None:
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in handled_signals()}
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
    """Have the kernel send SIGTERM to this process when its parent (`run_child`) dies; Linux only."""
    if os.environ.pop(PARENT, "") == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
