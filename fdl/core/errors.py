"""Errors: exit codes, and the exceptions whose message is one line for the user."""

import errno
import sys

from fdl.core.log import by_address

DONE, FAULT, WRONG_INPUT, STOPPED = 0, 1, 2, 75

# errno -> the advice appended to the operating system's message.
WAYS = {
    errno.EIO: "the disk or its connection fails: look after it and run the same command, or choose a folder elsewhere",
    errno.EROFS: "it is mounted read-only: choose a folder that can be written to",
    errno.EACCES: "give this user the right to it, or choose another",
    errno.EPERM: "the file system does not allow that: choose a folder elsewhere",
    errno.EXDEV: "the file system cannot rename folders: choose a folder elsewhere",
    errno.ESTALE: "the server has lost the file: mount it again and run the same command",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run the same command",
}


class _OneLine(Exception):
    """A message for users, which names a run folder on an object store by its address."""

    def __str__(self) -> str:
        return by_address(super().__str__())


class UserError(_OneLine, ValueError):
    """What was given does not fit: one line with the value seen, the rule and a way out. Exit code 2."""


class Fault(_OneLine):
    """A failure outside the program's code: disk, memory, file or non-finite number. The message is one line."""


class Damaged(Fault):
    """A file's content does not match its digest or format; the message names the file or the leaf."""


class OutOfMemory(Fault, MemoryError):
    """The computation needs more memory than is available; the message says how much."""


class NotFinite(Fault):
    """A loss, a gradient or a state to be saved is not finite."""


class Stopped(KeyboardInterrupt):
    """A signal ended the run after everything was saved. Like Ctrl-C it passes through `except Exception`."""


def brief(error: BaseException) -> str:
    """Return another library's error message on one line of at most 301 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def reason(error: BaseException) -> str:
    """Return what failed in one line, with advice where the cause is known."""
    text = brief(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or any(x in text for x in ("No space left", "Disk quota", "EXHAUSTED")):
        return f"the disk is full ({text}); free some space and run the same command"
    if isinstance(error, MemoryError) or "new thread" in text or "allocate memory" in text:
        return f"memory or threads ran out ({text}); end what else runs and run the same command"
    if number in WAYS:
        return f"{text}; {WAYS[number]}"
    return text


def warn(text: str) -> None:
    """Print a one-line warning to stderr; for code that is not passed a `log`."""
    print(f"warning: {text}", file=sys.stderr)
