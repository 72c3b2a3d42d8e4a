"""How a run ends when it does not simply end: the exit codes, and the two exceptions that carry one line each."""

DONE, FAULT, WRONG_INPUT, STOPPED = 0, 1, 2, 75


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
