"""A lock on the run folder: a second start on the same folder is refused while the first is running.

The kernel holds the lock (flock), so it is released when its owner ends in any way; the file only names the owner. On a
file system without locks the owner writes a heartbeat to the file every second, and another start first waits for one.
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

from fdl.core.errors import Fault, UserError

NAME = ".lock"
BEAT, SILENCE = 1.0, 5.0  # seconds between heartbeats, and until an owner without one counts as dead


class Held:
    """A run folder that this process has locked."""

    def __init__(self, folder: Path, handle: int):
        self.folder, self.handle = folder, handle
        self.owner = f"pid {os.getpid()} on {socket.gethostname()}\n{uuid.uuid4().hex}\n"

    def still(self) -> bool:
        """Return whether the folder is still held: not removed, replaced or taken over.

        Compares the file's content, not its inode, which network file systems may change.
        """
        try:
            return (self.folder / NAME).read_text(encoding="utf-8", errors="replace").startswith(self.owner)
        except OSError:
            return False

    def check(self) -> None:
        """Raise a Fault if the folder is no longer held."""
        if not self.still():
            raise Fault(
                f"--workdir={self.folder} was removed, replaced or taken by another run while this one was in it; "
                "nothing more is written there, and the same command starts or goes on with what is there now"
            )

    def write(self, beat: int = 0) -> None:
        """Write the owner in one call, without truncating first."""
        text = f"{self.owner}{beat:012d}\n".encode()
        os.pwrite(self.handle, text, 0)
        os.ftruncate(self.handle, len(text))


@contextmanager
def hold(folder: Path, patience: float = 0.5, log: Callable[[str], None] = print) -> Iterator[Held]:
    """Lock the run folder, or raise a ValueError that names the process and host that hold it.

    patience: seconds to retry; another start that only checks the lock holds it for an instant.
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
    """Raise a ValueError if another run holds the kernel's lock on the folder."""
    if os.path.exists(folder / NAME):  # False too of a name that is too long, which is refused when it is opened
        handle = _opened(folder)
        try:
            _locked(folder, handle, 0.5)
        finally:
            os.close(handle)


def is_held(folder: Path) -> bool:
    """Say whether a run holds the kernel's lock on the folder; nothing is created or written."""
    try:
        handle = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(handle)
    return False


def _opened(folder: Path) -> int:
    """Create the folder and open its lock file; raise a ValueError if it is not writable."""
    try:
        str(folder.absolute()).encode()
        folder.mkdir(parents=True, exist_ok=True)
        # Symlinks are not followed: their target would be truncated.
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UserError(f"{folder / NAME} is no plain file; remove it")
        return handle
    except UnicodeEncodeError:
        raise UserError(f"--workdir={folder.absolute()} is not UTF-8; choose a folder whose whole path is") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise UserError(f"--workdir={folder} cannot be written to ({error.strerror}); choose another folder") from None


def _locked(folder: Path, handle: int, patience: float) -> bool:
    """Lock the file, or raise a ValueError that names its owner; return False if the file system has no locks."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                raise _in_use(folder, _read_owner(handle)) from None
        except OSError:
            return False
        time.sleep(0.02)


def _read_owner(handle: int) -> str:
    return os.pread(handle, 400, 0).decode(errors="replace")


def _in_use(folder: Path, content: str) -> UserError:
    owner = content.partition("\n")[0].strip() or "another process"
    return UserError(f"--workdir={folder} is in use by {owner}; wait for it, end it or choose another folder")


@contextmanager
def _beating(held: Held) -> Iterator[None]:
    """Hold a folder by heartbeats; of two simultaneous starts, the last writer wins."""
    before, until = _read_owner(held.handle), time.monotonic() + SILENCE
    while before and time.monotonic() < until:
        time.sleep(BEAT / 4)
        if _read_owner(held.handle) != before:
            raise _in_use(held.folder, _read_owner(held.handle))
    held.write()
    time.sleep(BEAT)
    if not (content := _read_owner(held.handle)).startswith(held.owner):
        raise _in_use(held.folder, content)
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(BEAT):
            count += 1
            with contextlib.suppress(OSError):  # a failing disk is reported by the run itself
                if _read_owner(held.handle).startswith(held.owner):
                    held.write(count)

    beats = threading.Thread(target=beat, daemon=True, name="heartbeats of the lock")
    beats.start()
    try:
        yield
    finally:
        over.set()
        beats.join()
        with contextlib.suppress(OSError):
            if _read_owner(held.handle).startswith(held.owner):
                os.ftruncate(held.handle, 0)
