"""A process that decodes rows beside this one: of the threads of one Python, only one runs at a time.

It is started by this module's name. `multiprocessing` would run the user's script once more in it, and hang or fail
where that has no `if __name__ == "__main__"`.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from fdl.types import Batch

Read = Callable[[np.ndarray], Batch]


class Decoder:
    """`read(indices: i64[B]) -> Batch`, done by a process that ends with this object. Not for two threads at once.

    Where that process is gone (killed for its memory, say), this one reads the rows itself.
    """

    def __init__(self, read: Read):
        import cloudpickle

        self.read = read
        # A session of its own: an interrupt from the terminal is for this process, which will still want batches.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fdl.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        weakref.finalize(self, _end, self.process)
        self._say(cloudpickle.dumps(read))

    def __call__(self, indices: np.ndarray) -> Batch:
        """Return the batch of these rows, or raise what reading them raised."""
        self._say(pickle.dumps(indices))
        try:
            answer = pickle.load(self.process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, pickle.UnpicklingError):
            return self.read(indices)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _say(self, message: bytes) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.write(message)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    process.kill()
    process.wait()


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody is there to ask: first comes the function, then the rows of one batch after another."""
    read = pickle.load(asked)
    while True:
        try:
            indices = pickle.load(asked)
        except EOFError:
            return
        answer: Any
        try:
            answer = read(indices)
        except Exception as error:
            answer = error
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    here = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    with contextlib.suppress(OSError):
        serve(sys.stdin.buffer, here)
