"""One run, one folder: a second start on the same folder is turned away while the first lives.

The kernel holds the lock, so it goes when its owner goes, however that ends; the file only says who the owner is. On a
file system without locks the file is all there is: its owner writes a heartbeat into it every second, and another start
first listens for one.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fdl.core.errors import Fault

NAME = ".lock"
BEAT, SILENCE = 1.0, 5.0  # seconds between heartbeats, and without one until an owner counts as gone


class Held:
    """A run folder that this process holds, and how it knows that it still does."""

    def __init__(self, folder: Path, handle: int):
        self.folder, self.handle = folder, handle
        self.owner = f"pid {os.getpid()} on {socket.gethostname()}\n{uuid.uuid4().hex}\n"

    def still(self) -> bool:
        """Say whether the path still leads to the folder that is held: it was not removed, replaced or taken over.

        What the file says is compared, and not its inode: network drives make those up anew.
        """
        try:
            return (self.folder / NAME).read_text(encoding="utf-8", errors="replace").startswith(self.owner)
        except OSError:
            return False

    def check(self) -> None:
        """Raise a Fault where the folder is no longer held."""
        if not self.still():
            raise Fault(
                f"--workdir={self.folder} was removed, replaced or taken by another run while this one was in it; "
                "nothing more is written there, and the same command starts or goes on with what is there now"
            )

    def write(self, beat: int = 0) -> None:
        """Write who the owner is, all at once and in its place."""
        text = f"{self.owner}{beat:012d}\n".encode()
        os.pwrite(self.handle, text, 0)
        os.ftruncate(self.handle, len(text))


@contextmanager
def hold(folder: Path, patience: float = 0.5, log: Callable[[str], None] = print) -> Iterator[Held]:
    """Hold the run folder, or raise a ValueError that names the process and the host that do.

    patience: seconds to try; another start that only looks in holds it for an instant.
    """
    handle = _opened(folder)
    try:
        held = Held(folder, handle)
        if _locked(folder, handle, patience):
            held.write()
            yield held
        else:
            log(f"warning: {folder} is on a file system without locks; heartbeats guard it against a second start")
            with _beating(held):
                yield held
    finally:
        os.close(handle)


def refuse_held(folder: Path) -> None:
    """Raise a ValueError where another run holds the folder now, as far as the kernel knows."""
    if os.path.exists(folder / NAME):  # False too of a name that is too long, which is refused when it is opened
        handle = _opened(folder)
        try:
            _locked(folder, handle, 0.5)
        finally:
            os.close(handle)


def _opened(folder: Path) -> int:
    """Make the folder and open its lock; raise a ValueError where that is no place to write to."""
    try:
        str(folder.absolute()).encode()
        folder.mkdir(parents=True, exist_ok=True)
        # A link planted in a folder from elsewhere is not followed: its target would be emptied.
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ValueError(f"{folder / NAME} is no plain file; remove it")
        return handle
    except UnicodeEncodeError:
        raise ValueError(f"--workdir={folder.absolute()} is not UTF-8; choose a folder whose whole path is") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise ValueError(f"--workdir={folder} cannot be written to ({error.strerror}); choose another folder") from None


def _locked(folder: Path, handle: int, patience: float) -> bool:
    """Lock the file, or raise a ValueError that names who has it; False where the file system has no locks."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                raise _in_use(folder, _said(handle)) from None
        except OSError:
            return False
        time.sleep(0.02)


def _said(handle: int) -> str:
    return os.pread(handle, 400, 0).decode(errors="replace")


def _in_use(folder: Path, said: str) -> ValueError:
    owner = said.partition("\n")[0].strip() or "another process"
    return ValueError(f"--workdir={folder} is in use by {owner}; wait for it, end it or choose another folder")


@contextmanager
def _beating(held: Held) -> Iterator[None]:
    """Hold a folder by heartbeats; of two that come at once the one that wrote last has it."""
    before, until = _said(held.handle), time.monotonic() + SILENCE
    while before and time.monotonic() < until:
        time.sleep(BEAT / 4)
        if _said(held.handle) != before:
            raise _in_use(held.folder, _said(held.handle))
    held.write()
    time.sleep(BEAT)
    if not (said := _said(held.handle)).startswith(held.owner):
        raise _in_use(held.folder, said)
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(BEAT):
            count += 1
            with contextlib.suppress(OSError):  # a disk that fails is for the run to notice
                if _said(held.handle).startswith(held.owner):
                    held.write(count)

    beats = threading.Thread(target=beat, daemon=True, name="heartbeats of the lock")
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()
        with contextlib.suppress(OSError):
            if _said(held.handle).startswith(held.owner):
                os.ftruncate(held.handle, 0)
