"""Stopping on request: a signal is noted, and the loop ends where its state can be saved."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fdl.core.errors import STOPPED, Stopped

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
        """Note the signal; from here on Ctrl-C ends the process at once, inside compiled code too."""
        self.noted = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if number == signal.SIGHUP:  # the terminal is gone, and writing to it would be the next fault
            null = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    os.dup2(null, stream.fileno())


@contextmanager
def on_request(processes: int = 1) -> Iterator[Request]:
    """Note SIGTERM, SIGINT and SIGHUP instead of dying of them; outside the main thread nothing is noted."""
    request = Request(processes)
    try:
        before = {number: signal.signal(number, request.note) for number in SIGNALS}
    except ValueError:  # signals belong to the main thread
        before = {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_on_request(tidy: bool = True) -> None:
    """Leave on SIGTERM, SIGINT and SIGHUP, for all that is not training: there is nothing to save.

    tidy: by an exception, so that what is half done is put away. Modules that are being imported may crash over one,
    and one of several processes would wait in JAX's farewell for others that wait for it: these leave as they stand.
    """
    heard, before = 0, sys.unraisablehook

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = number
        reason = f"{signal.Signals(number).name}: left at once; the same command goes on from the last checkpoint"
        if tidy:
            raise Stopped(reason)
        os.write(2, f"error: {reason}\n".encode())
        os._exit(STOPPED)

    def unraisable(seen: "sys.UnraisableHookArgs") -> None:
        """Send the signal again, in a moment: JAX's callback of every garbage collection lets no exception through."""
        if isinstance(seen.exc_value, Stopped):
            threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, heard)).start()
        else:
            before(seen)

    sys.unraisablehook = unraisable
    for number in SIGNALS:
        signal.signal(number, leave)
