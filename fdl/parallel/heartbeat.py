"""Heartbeats between the processes of a run: if one has ended or is frozen, the others exit at once with one line.

Otherwise they would wait forever in a collective or in JAX's shutdown barrier. A lost connection raises an exception
here, or JAX notices it in a thread of its own and aborts the process. This module detects silence: each process sends a
heartbeat every second to the key-value store in JAX's first process. The first checks those of all others; the others
take a successful send as the heartbeat of the first.

Silence is counted in iterations of the listener, not by the wall clock as in JAX: if the whole job is suspended and
resumed, or the machine is overloaded, all processes stop or slow down alike.
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

from jax._src.distributed import global_state  # the store has no public name; Orbax imports it from here as well

from fdl.core.errors import FAULT

SILENCE = 10  # iterations, of a second each, without a heartbeat, after which a process counts as lost
_KEYS = "fdl-alive"
_callbacks: list[Any] = []  # references that keep the C signal handlers alive


def start() -> None:
    """Start the heartbeats, after `jax.distributed.initialize`."""
    shutting_down = threading.Event()

    def uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if "Gloo" in str(error):
            exit_process(" ".join(str(error).split())[:200])
        traceback.print_exception(kind, error, at)
        sys.stdout.flush()
        os._exit(FAULT)

    def aborted(number: int) -> None:
        if shutting_down.is_set():  # the first process may close the store while others shut down: harmless
            time.sleep(SILENCE)
        exit_process("JAX reports the cause above")

    sys.excepthook = uncaught
    atexit.register(shutting_down.set)  # runs before JAX's own exit handler, which was registered earlier
    _callbacks.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted))
    # A C handler: Python's signal handlers run in the main thread, which is blocked waiting for the lost process.
    ctypes.CDLL(None).signal(signal.SIGABRT, _callbacks[-1])
    heartbeats = Heartbeats(global_state.client, global_state.process_id, global_state.num_processes)
    for work in (heartbeats.send, heartbeats.listen):  # separate threads: a send to a frozen process blocks
        threading.Thread(target=every_second, args=(work,), daemon=True, name=f"watch: {work.__name__}").start()


def exit_process(reason: str) -> None:
    """Exit because another process is lost."""
    here = f"process {global_state.process_id} of {global_state.num_processes}"
    line = f"error: {here} cannot continue: another has ended or is frozen ({reason}); the same commands resume"
    os.write(2, f"{line} from the last checkpoint\n".encode())
    os._exit(FAULT)


class Heartbeats:
    """Heartbeats sent by this process, and the iteration of the last one from each other process.

    store: JAX's distributed key-value store. index: of this process; count: of all processes.
    """

    def __init__(self, store: Any, index: int, count: int):
        self.store, self.index, self.turn = store, index, 0
        self.last: dict[str, str] = {}
        self.heard = dict.fromkeys(range(1, count) if index == 0 else [0], 0)

    def send(self) -> None:
        """Send a heartbeat and record those of others."""
        with contextlib.suppress(Exception):  # an unreachable store counts as silence
            self.store.key_value_set(f"{_KEYS}/{self.index}", str(self.turn), allow_overwrite=True)
            if self.index:
                self.heard[0] = self.turn
                return
            for key, beat in self.store.key_value_dir_get(_KEYS):
                if self.last.get(key) != beat:
                    self.last[key], self.heard[int(key.rsplit("/", 1)[1])] = beat, self.turn

    def listen(self) -> None:
        """Count an iteration; exit if another process has been silent for too many."""
        self.turn += 1
        for other, at in self.heard.items():
            if self.turn - at > SILENCE:
                exit_process(f"process {other} has sent no heartbeat for {SILENCE} seconds")


def every_second(work: Callable[[], None]) -> None:
    """Run `work` every second until JAX has shut its distributed runtime down."""
    while global_state.client is not None:
        work()
        time.sleep(1)
