"""Files of `torch.save`, read as data: no file can run code here.

Of a pickle only the operations that make tensors, dictionaries and numbers are interpreted, by this module; every other
one is refused by its name. Both formats are read: the zip archive of torch 1.6 and later, and the one before it, in
which torchvision still publishes AlexNet and VGG.
"""

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError, brief

_DTYPES: Mapping[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_GLOBALS = (
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "collections OrderedDict",
    *(f"torch {storage}" for storage in _DTYPES),
)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _Global(NamedTuple):
    """A class or function that a pickle names; it is never imported."""

    name: str


class _RefusedError(ValueError):
    """What a pickle of tensors has no need of."""


def read_torch(file: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file of `torch.save(model.state_dict())` by name; raise a UserError for any other file.

    They are views of what was read, so that a file never takes more memory than its size.
    """
    try:
        saved = _read_archive(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    # Each kind of damage raises something else, in zipfile, pickletools and NumPy.
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError) as error:
        raise UserError(f"{file} holds more than tensors, or is damaged ({brief(error)}); use safetensors") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{file} is a damaged archive of torch ({brief(error)}); copy it again") from error
    for inner in ("state_dict", "model"):  # what training scripts wrap the tensors in
        saved = saved[inner] if isinstance(saved, dict) and isinstance(saved.get(inner), dict) else saved
    if not isinstance(saved, dict) or not any(isinstance(value, np.ndarray) for value in saved.values()):
        raise UserError(f"{file} holds no tensors by name; save model.state_dict()")
    return {str(name): value for name, value in saved.items() if isinstance(value, np.ndarray)}


# ── The two formats ─────────────────────────────────────────────────────────────────────────────────────────────────


def _read_archive(file: Path) -> Any:
    """Return what a zip archive holds: a pickle, and an entry for the numbers of each storage."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _RefusedError("it is compressed, as torch never does")
        if sum(entry.file_size for entry in entries) > file.stat().st_size:
            raise _RefusedError("its entries overlap")
        (pickled,) = (entry.filename for entry in entries if entry.filename.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        arrays: dict[str, np.ndarray] = {}

        def storage(key: str, dtype: np.dtype[Any], size: int) -> np.ndarray:
            if key not in arrays:
                arrays[key] = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            if len(arrays[key]) != size:
                raise _RefusedError(f"storage {key} of {len(arrays[key])} numbers that should have {size}")
            return arrays[key]

        return _Machine(storage).run(pickletools.genops(archive.read(pickled)))


def _read_legacy(file: Path) -> Any:
    """Return what a file before torch 1.6 holds: five pickles in a row, then the numbers of each storage.

    The fourth holds the tensors and is run twice: its storages have known sizes only after the first time.
    """
    data = file.read_bytes()
    stream = io.BytesIO(data)
    sizes: dict[str, tuple[np.dtype[Any], int]] = {}

    def unknown(key: str, dtype: np.dtype[Any], size: int) -> np.ndarray:
        sizes[key] = dtype, size
        if size > len(data):
            raise _RefusedError(f"storage {key} of {size} numbers in a file of {len(data)} bytes")
        return np.broadcast_to(np.zeros((), dtype), size)

    first = next(iter(pickletools.genops(stream)), None)
    stream.seek(0)
    if first is None or first[0].name != "PROTO" or _Machine(unknown).run(pickletools.genops(stream)) != _LEGACY_MAGIC:
        raise _RefusedError("it is no file of torch.save")
    _Machine(unknown).run(pickletools.genops(stream))  # the version
    _Machine(unknown).run(pickletools.genops(stream))  # the sizes of C types
    start = stream.tell()
    _Machine(unknown).run(pickletools.genops(stream))
    keys = _Machine(unknown).run(pickletools.genops(stream))

    arrays: dict[str, np.ndarray] = {}
    at = stream.tell()
    for key in keys:
        dtype, size = sizes[key]
        if int.from_bytes(data[at : at + 8], "little") != size:
            raise _RefusedError(f"storage {key} that should have {size} numbers")
        arrays[key] = np.frombuffer(data, dtype, size, at + 8)
        at += 8 + size * dtype.itemsize
    stream.seek(start)
    return _Machine(lambda key, dtype, size: arrays[key]).run(pickletools.genops(stream))


# ── The pickle machine ──────────────────────────────────────────────────────────────────────────────────────────────


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """Return the tensor that is a view of a storage; refuse one that reaches outside or repeats its numbers."""
    if not all(isinstance(number, int) and number >= 0 for number in (offset, *size, *stride)):
        raise _RefusedError("a tensor whose size or strides are no counts")
    numbers: int = math.prod(size)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if numbers > len(storage) or (numbers and last >= len(storage)):
        raise _RefusedError(f"a tensor of size {size} in a storage of {len(storage)}")
    if not numbers:
        return np.zeros(size, storage.dtype)
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def _dictionary(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    """Make a dictionary of names or numbers: the hash of deeply nested tuples would take for ever."""
    made = dict[Any, Any]()
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise _RefusedError("a dictionary whose keys are no names")
        made[key] = value
    return made


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "collections OrderedDict": _dictionary,
}
_MARK = object()


class _Machine:
    """The part of the pickle machine that tensors need: constants, containers, and the functions in `_FUNCTIONS`.

    storage: a storage's key, dtype and size -> its flat array.
    """

    def __init__(self, storage: Callable[[str, "np.dtype[Any]", int], np.ndarray]):
        self.storage = storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: Iterable[tuple[Any, Any, Any]]) -> Any:
        """Return what a pickle's operations make; raise a ValueError for one that tensors have no need of."""
        for opcode, argument, _ in program:
            if opcode.name != "STOP":  # the last one, which ends the pickle
                self._do(opcode.name, argument)
        (made,) = self.stack
        return made

    def _do(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            if argument not in _GLOBALS:
                raise _RefusedError(f"it names {argument.replace(' ', '.')}")
            self.stack.append(_Global(argument))
        elif name == "BINPERSID":
            self.stack.append(self._persistent(*self.stack.pop()))
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        else:
            self._combine(name)

    def _combine(self, name: str) -> None:
        """Do an operation that puts the last values of the stack together."""
        if name == "TUPLE":
            self.stack.append(tuple(self._since_mark()))
        elif name in ("SETITEM", "SETITEMS"):
            values = self._since_mark() if name == "SETITEMS" else [self.stack.pop() for _ in range(2)][::-1]
            self.stack[-1].update(_dictionary(zip(values[::2], values[1::2], strict=True)))
        elif name in ("APPEND", "APPENDS"):
            values = self._since_mark() if name == "APPENDS" else [self.stack.pop()]
            self.stack[-1].extend(values)
        elif name == "REDUCE":
            given, function = self.stack.pop(), self.stack.pop()
            self.stack.append(_FUNCTIONS[function.name](*given))
        elif name == "BUILD" and isinstance(self.stack[-2], dict):
            self.stack.pop()  # the versions of modules, which state_dict() keeps beside its tensors
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"it needs the operation {name}")

    def _persistent(self, kind: Any, made_by: Any, key: Any, _device: Any, size: Any, view: Any = None) -> np.ndarray:
        """Return the flat array that the persistent id of a storage names; `view` is of the format before 1.6."""
        known = isinstance(kind, str) and isinstance(made_by, _Global) and isinstance(key, str) and view is None
        if not known or kind != "storage" or not isinstance(size, int) or size < 0:
            raise _RefusedError("a persistent id that is no storage")
        return self.storage(key, np.dtype(_DTYPES[made_by.name.removeprefix("torch ")]), size)

    def _since_mark(self) -> list[Any]:
        at = max(index for index, value in enumerate(self.stack) if value is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values


_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_LITERALS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
