"""A process that reads and decodes columns beside this one: of the threads of one Python, only one runs at a time.

It is started by this module's name. `multiprocessing` would run the user's script once more in it, and hang or fail
where that has no `if __name__ == "__main__"`.

The two speak through its pipes. A request is a line of JSON: what to read, and the arguments of that. The answer is a
line of JSON, which says what became of each column, and after it the bytes of those that are numbers.
"""

import contextlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.records import Column

Shape = tuple[int, ...]


class Gone(Exception):
    """The other process has ended (was killed for its memory, for example)."""


class Decoder:
    """Reads columns in a process that ends with this object. Not for two threads at once.

    sizes: of columns of images, the shape that the other process brings them to where it can.
    """

    def __init__(self, sizes: Mapping[str, Shape]):
        # A session of its own: an interrupt from the terminal is for this process, which will still want columns.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fdl.data.readers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        weakref.finalize(self, _end, self.process)
        self.sizes = sizes

    def __call__(self, what: str, **arguments: Any) -> dict[str, Column]:
        """Return the columns that `READERS[what]` reads there, or raise its ValueError; Gone where nobody answers."""
        requests, answers = self.process.stdin, self.process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(_line({"what": what, "arguments": arguments, "sizes": self.sizes}))
            requests.flush()
            response = json.loads(answers.readline())
            if "error" in response:
                raise UserError(response["error"])
            if "crash" in response:
                raise RuntimeError(response["crash"])
            return {name: _unpack(column, answers) for name, column in response["columns"].items()}
        except (OSError, EOFError, json.JSONDecodeError) as error:
            raise Gone from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    process.kill()
    process.wait()


def _line(value: Any) -> bytes:
    return json.dumps(value, default=lambda scalar: scalar.item()).encode() + b"\n"


def _pack(values: Column) -> tuple[Any, list[np.ndarray]]:
    """Return a column as JSON and arrays: one for all values, one for each where they differ, none for texts."""
    arrays = values if isinstance(values, np.ndarray) else [value for value in values if isinstance(value, np.ndarray)]
    if len(arrays) < len(values) or any(array.dtype == object for array in arrays) or not len(values):
        return list(values), []
    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        whole = np.ascontiguousarray(arrays if isinstance(arrays, np.ndarray) else np.stack(arrays))
        return _form(whole), [whole]
    return [_form(array) for array in arrays], [np.ascontiguousarray(array) for array in arrays]


def _form(array: np.ndarray) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": array.shape}


def _unpack(response: Any, answers: IO[bytes]) -> Column:
    if isinstance(response, list):
        return [_unpack(one, answers) if isinstance(one, dict) else one for one in response]
    array = np.empty(response["shape"], response["dtype"])
    left = array.reshape(-1).view(np.uint8).data
    while len(left):
        count = answers.readinto(left)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        left = left[count:]
    return array


@lru_cache(maxsize=4)
def _prepared(folder: str, splits: str, page: str) -> Any:
    from fdl.data.readers.tfds import tfds

    return tfds(folder, splits=json.loads(splits), page=page)


def _rows(folder: str, splits: str, page: str, split: str, indices: list[int], names: list[str]) -> dict[str, Column]:
    result: dict[str, Column] = _prepared(folder, splits, page).read(split, np.array(indices), names)
    return result


def _pictures(files: list[str], channels: int) -> dict[str, Column]:
    from fdl.data.pixels import picture

    return {"image": [picture(file, channels) for file in files]}


# What can be requested: `(**arguments of JSON's types) -> columns`.
READERS: Mapping[str, Callable[..., dict[str, Column]]] = {"rows": _rows, "pictures": _pictures}


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one request after another until nobody is there to ask."""
    from fdl.data.pixels import fit

    for line in requests:
        request = json.loads(line)
        arrays: list[np.ndarray] = []
        columns: dict[str, Any] = {}
        try:
            for name, values in READERS[request["what"]](**request["arguments"]).items():
                if name in request["sizes"]:
                    values = [fit(image, tuple(request["sizes"][name])) for image in values]
                columns[name], found = _pack(values)
                arrays += found
            answer = _line({"columns": columns})
        except ValueError as error:
            answer, arrays = _line({"error": str(error)}), []
        except Exception as error:
            answer, arrays = _line({"crash": repr(error)}), []
        answers.write(answer)
        for array in arrays:
            answers.write(array.reshape(-1).view(np.uint8).data)
        answers.flush()


if __name__ == "__main__":
    here = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    with contextlib.suppress(OSError):
        serve(sys.stdin.buffer, here)
