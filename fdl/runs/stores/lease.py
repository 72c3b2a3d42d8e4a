"""One owner of a run folder on a store: numbered lease objects, each created by a conditional put.

The newest number owns the folder. Its owner rewrites it every `BEAT` seconds; another start that sees no change for
`SILENCE` seconds of its own clock creates the next number, which one of several starts alone can. No clock is compared
with another machine's.

An owner that was thought dead may still have a request under way, which no check beforehand prevents. So checkpoints
are written under their owner's number, and an owner deletes none of a newer one (`mirror`).
"""

import contextlib
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fdl.core.errors import Fault, UserError, brief
from fdl.runs.stores.store import Missing, Store

BEAT, SILENCE = 10.0, 60.0  # seconds between heartbeats, and until an owner without one counts as dead
LOCAL = ".lease"  # in the working folder: the identity of its last lease
LEASES = ".leases"  # on the store: the folder of the leases


class Lease:
    """A lease that this process holds: its number, and the owner that stands in it.

    lost: another run has taken the folder. confirmed: when the store was last asked whether that is so.
    """

    def __init__(self, store: Store, number: int, owner: str):
        self.store, self.number, self.owner, self.lost = store, number, owner, False
        self.confirmed, self._beats, self._lock = clock(), 1, threading.Lock()

    def check(self) -> None:
        """Raise a Fault if another run has taken the folder, by what the last heartbeat saw."""
        if self.lost:
            raise Fault(f"{self.store.address} was taken by another run; nothing more is written there")

    def confirm(self) -> None:
        """Check before a write; where the store was not asked for two heartbeats, after a sleep above all, ask it."""
        if clock() - self.confirmed > 2 * BEAT:
            self.renew()
        self.check()

    def renew(self) -> None:
        """Look for a newer lease and rewrite this one; raises a Fault where it is no longer the newest."""
        with self._lock:
            now = clock()
            self.lost = self.lost or max(numbers(self.store), default=0) != self.number
            self.check()
            self._beats += 1
            self.store.write(name_of(self.number), f"{self.owner}\n{self._beats}".encode())
            self.confirmed = now


def clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@contextmanager
def hold(store: Store, folder: Path, log: Callable[[str], None]) -> Iterator[Lease]:
    """Hold the lease of a store, or raise a UserError that names its owner.

    folder: the working folder, which this process has locked: an earlier lease of this very folder has no owner.
    """
    lease = _taken(store, folder, log)
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(lease, over, log), daemon=True, name="heartbeats of the lease")
    beats.start()
    try:
        yield lease
    finally:
        over.set()
        beats.join()
        with contextlib.suppress(Fault):
            if not lease.lost and max(numbers(store), default=0) == lease.number:
                _release(store, lease.number)


def _beat(lease: Lease, over: threading.Event, log: Callable[[str], None]) -> None:
    """Renew a lease until it is over or lost; log its loss at once, and once each time the store falls silent."""
    silent = False
    while not over.wait(BEAT) and not lease.lost:
        try:
            lease.renew()
            if silent:
                log(f"{lease.store.address} takes heartbeats again")
            silent = False
        except Fault as fault:  # the run itself ends by it at its next call
            if lease.lost:
                log(str(fault))
            elif not silent:
                silent = True
                log(
                    f"{lease.store.address} takes no heartbeat: {brief(fault.__cause__ or fault)}; "
                    f"another run may take the folder after {SILENCE:g} s of this"
                )


def _release(store: Store, number: int) -> None:
    """Release a lease; the number stays, so that numbers only grow, unless nobody ever wrote anything under any."""
    if number == 1 and store.names() == [name_of(number)]:  # a start that was refused
        store.delete(name_of(number))
    else:
        store.write(name_of(number), b"")


def numbers(store: Store) -> list[int]:
    """Return the numbers of the leases that stand in a store."""
    names = store.names(LEASES)
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(rf"{LEASES}/([0-9]+)", name)))


def name_of(number: int) -> str:
    """Return the name of a lease."""
    return f"{LEASES}/{number:06d}"


def _read(store: Store, number: int) -> str:
    """Return what stands in a lease, "" where it is released, or gone because a newer one was created."""
    try:
        return store.read(name_of(number)).decode(errors="replace") if number else ""
    except Missing:
        return ""


def _taken(store: Store, folder: Path, log: Callable[[str], None]) -> Lease:
    """Create the next lease where the newest is released, of this folder, or silent."""
    file = folder / LOCAL
    last = file.read_text(encoding="utf-8") if file.is_file() else ""
    owner = f"pid {os.getpid()} on {socket.gethostname()}\n{uuid.uuid4().hex}"
    while True:
        before = numbers(store)
        newest = max(before, default=0)
        content = _read(store, newest)
        if content and not (last and content.startswith(last)):
            _wait_for_silence(store, newest, content, log)
        made = store.create(name_of(newest + 1), f"{owner}\n1".encode())
        if made and max(numbers(store), default=0) == newest + 1:  # it may have been created and deleted before
            file.write_text(owner, encoding="utf-8")
            for number in before:
                store.delete(name_of(number))
            return Lease(store, newest + 1, owner)


def _wait_for_silence(store: Store, number: int, content: str, log: Callable[[str], None]) -> None:
    """Wait until an owner counts as dead; raise a UserError where it shows that it is not."""
    named = content.partition("\n")[0]
    log(f"{store.address} is held by {named}; it is taken over if that shows no sign for {SILENCE:g} s")
    until = time.monotonic() + SILENCE
    while time.monotonic() < until:
        time.sleep(min(BEAT / 2, SILENCE / 4))
        if numbers(store)[-1:] != [number] or _read(store, number) != content:
            raise UserError(
                f"--workdir={store.address} is in use by {named}; wait for it, end it or choose another folder"
            )
