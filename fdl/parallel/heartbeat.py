"""The watch over the other processes of a run: where one has ended or is frozen, this one ends, with one line, at once.

It would wait for ever, and so would JAX's farewell. A lost connection is an exception here, or JAX notices it in a
thread of its own and aborts the process. Silence is for this module to hear: each process sends a sign of life every
second to the store of keys that JAX keeps in the first. The first listens to all; to the others it is a sign of life of
the first that theirs arrive.

Silence is counted in turns of the listener's own, and not by the clock as JAX counts it: where the whole job is frozen
and thawed, or the machine is busy, those stand still or slow down for all alike.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from jax._src.distributed import global_state  # no public name for the store; Orbax takes it from here as well

from fdl.core.errors import FAULT

SILENCE = 10  # turns, of a second each, after which a process without a sign of life is given up
_PLACE = "fdl-alive"
_kept: list[Any] = []  # what C calls must outlive its setting


def begin() -> None:
    """Watch from now on; JAX's distributed runtime has just been joined."""
    farewell = threading.Event()

    def uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if "Gloo" in str(error):
            leave(" ".join(str(error).split())[:200])
        traceback.print_exception(kind, error, at)
        sys.stdout.flush()
        os._exit(FAULT)

    def aborted(number: int) -> None:
        if farewell.is_set():  # the first may close JAX's store while another still takes its leave: no harm
            time.sleep(SILENCE)
        leave("JAX says above what it noticed")

    sys.excepthook = uncaught
    atexit.register(farewell.set)  # called before JAX's own, which was registered earlier
    _kept.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted))
    # Python's own handlers run in its main thread, which is waiting for the one that is gone.
    ctypes.CDLL(None).signal(signal.SIGABRT, _kept[-1])
    signs = Heartbeats(global_state.client, global_state.process_id, global_state.num_processes)
    for work in (signs.send, signs.listen):  # each in a thread, for what is sent to a frozen process never arrives
        threading.Thread(target=every_second, args=(work,), daemon=True, name=f"watch: {work.__name__}").start()


def leave(reason: str) -> None:
    """End this process for want of another."""
    here = f"process {global_state.process_id} of {global_state.num_processes}"
    line = f"error: {here} cannot go on: another has ended or is frozen ({reason}); the same commands go on"
    os.write(2, f"{line} from the last checkpoint\n".encode())
    os._exit(FAULT)


class Heartbeats:
    """Signs of life that this process sends, and when it heard those of others, in turns of its own.

    store: JAX's, of keys that all processes see. index: of this process, and count: of all.
    """

    def __init__(self, store: Any, index: int, count: int):
        self.store, self.index, self.turn = store, index, 0
        self.last: dict[str, str] = {}
        self.heard = dict.fromkeys(range(1, count) if index == 0 else [0], 0)

    def send(self) -> None:
        """Send a sign of life and note whose have come."""
        with contextlib.suppress(Exception):  # unreachable is silent
            self.store.key_value_set(f"{_PLACE}/{self.index}", str(self.turn), allow_overwrite=True)
            if self.index:
                self.heard[0] = self.turn
                return
            for key, sign in self.store.key_value_dir_get(_PLACE):
                if self.last.get(key) != sign:
                    self.last[key], self.heard[int(key.rsplit("/", 1)[1])] = sign, self.turn

    def listen(self) -> None:
        """Count a turn, and end this process where another has been silent for too many."""
        self.turn += 1
        for other, at in self.heard.items():
            if self.turn - at > SILENCE:
                leave(f"process {other} has shown no sign of life for {SILENCE} seconds")


def every_second(work: Callable[[], None]) -> None:
    """Do something every second until JAX has taken its leave of the others."""
    while global_state.client is not None:
        work()
        time.sleep(1)
