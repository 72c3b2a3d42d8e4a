"""How a run ends when it does not simply end: the exit codes, and the two exceptions that carry one line each."""

import errno
import sys

DONE, FAULT, WRONG_INPUT, STOPPED = 0, 1, 2, 75

# What can be done where the system refuses.
WAYS = {
    errno.EIO: "the disk or its connection fails: look after it and run the same command, or choose a folder elsewhere",
    errno.EROFS: "it is mounted read-only: choose a folder that can be written to",
    errno.EACCES: "give this user the right to it, or choose another",
    errno.EPERM: "the file system does not allow that: choose a folder elsewhere",
    errno.EXDEV: "the file system cannot rename folders: choose a folder elsewhere",
    errno.ESTALE: "the server has lost the file: mount it again and run the same command",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run the same command",
}


class Fault(Exception):
    """Something outside the program failed: a disk, a memory, a file, a number. The message is one line."""


class Damaged(Fault):
    """A file does not hold what was written to it; the message names the file or the leaf."""


class OutOfMemory(Fault, MemoryError):
    """What is to be computed takes more memory than there is; the message says how much."""


class NotFinite(Fault):
    """A state that is to be saved holds a number that is not finite."""


class Stopped(KeyboardInterrupt):
    """A signal ended the run after everything was saved. Like Ctrl-C it passes through `except Exception`."""


def brief(error: BaseException) -> str:
    """Return an error of another library in one line of bearable length."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 300 else f"{words[:300]}…"


def reason(error: BaseException) -> str:
    """Return what failed in one line, with the way out where it is known."""
    words = brief(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or any(x in words for x in ("No space left", "Disk quota", "EXHAUSTED")):
        return f"the disk is full ({words}); make room and run the same command"
    if isinstance(error, MemoryError) or "new thread" in words or "allocate memory" in words:
        return f"memory or threads ran out ({words}); end what else runs and run the same command"
    if number in WAYS:
        return f"{words}; {WAYS[number]}"
    return words


def warn(text: str) -> None:
    """Tell in one line of what goes on without; for code that has no `log` to say it to."""
    print(f"warning: {text}", file=sys.stderr)
