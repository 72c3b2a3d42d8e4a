"""One run, one folder: a second start on the same folder is turned away while the first lives.

The kernel holds the lock, so it goes when its owner goes, however that ends; the file only says who the owner is.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

NAME = ".lock"


@contextmanager
def hold(folder: Path, patience: float = 0.5) -> Iterator[None]:
    """Hold the run folder, or raise a ValueError that names the process and the host that do.

    patience: seconds to try; another start that only looks in holds it for an instant.
    """
    with _opened(folder) as file:
        until = time.monotonic() + patience
        while not _taken(file.fileno()):
            if time.monotonic() > until:
                file.seek(0)
                owner = file.read(200).strip() or "another process"
                raise ValueError(
                    f"--workdir={folder} is in use by {owner}; wait for it, end it or choose another folder"
                )
            time.sleep(0.02)
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def refuse_held(folder: Path) -> None:
    """Raise a ValueError where another run holds the folder now."""
    if (folder / NAME).exists():
        with hold(folder):
            pass


def _opened(folder: Path) -> TextIO:
    """Make the folder and open its lock; raise a ValueError where that is no place to write to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A link planted in a folder from elsewhere is not followed: its target would be emptied.
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise ValueError(f"--workdir={folder} cannot be written to ({error.strerror}); choose another folder") from None
    return os.fdopen(handle, "a+", encoding="utf-8")


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better to run unguarded than not at all
        return True
    return True
