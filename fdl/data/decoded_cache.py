"""Decode once: what had to be decoded is kept on disk by content and mapped into memory from then on.

`FOLDER/KEY/` holds an array file for each leaf and their digests. It is a convenience: a damaged set is decoded again,
and where nothing can be kept (a full disk, no right to write, a file system without memory maps) it is done without.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core.cache_folder import cache_folder
from fdl.core.digest import digest_of_array
from fdl.core.errors import Damaged, UserError, brief, warn
from fdl.core.types import Batch, PyTree
from fdl.data.dataset import LazySource, Source, Spec, take_columns
from fdl.data.readers.worker import Decoder, Gone
from fdl.data.records import Column, Read, Records

_BLOCK, _BLOCK_BYTES = 1024, 2**26  # rows, and bytes of them, that one thread decodes together
_DIGESTS, _DECODING = "digests.json", ".decoding-"


def stored(
    records: Records,
    spec: Spec,
    split: str,
    columns: Sequence[str],
    join: Callable[[Mapping[str, Column], str, np.ndarray], Batch],
    *,
    key: str,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
) -> LazySource:
    """Return a source that decodes rows on demand, and everything once when it becomes resident.

    join:  `(columns, split, indices) -> Batch` of what was read.
    key:   whatever besides the files decides what the decoded arrays hold.
    sizes: of columns of images that `join` resizes, their shape then.
    """
    if split not in spec.sizes:
        raise UserError(f"there is no split {split!r}; splits are {', '.join(spec.sizes)}")
    size = spec.sizes[split]
    leaves = jax.tree.leaves((spec.inputs, spec.targets))
    nbytes = size * sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in leaves)

    def reading(rows: Read) -> Callable[[np.ndarray], Batch]:
        return lambda indices: join(rows(split, indices, columns), split, indices)

    def decode_in_subprocess() -> Callable[[np.ndarray], Batch]:
        assert records.in_subprocess is not None
        here, there = records.read, records.in_subprocess(Decoder(sizes or {}))

        def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            try:
                return there(split, indices, names)
            except Gone:
                return here(split, indices, names)

        return reading(read)

    read = reading(records.read)

    def load() -> Source:
        name = hashlib.blake2b(f"{records.fingerprint()} {split} {size} {key} 3".encode(), digest_size=16).hexdigest()
        arrays = _resident(name, (spec.inputs, spec.targets), size, read, split)
        return Source(arrays=arrays, size=size, take=take_columns)

    return LazySource(
        size=size,
        read=read,
        load=load,
        nbytes=nbytes,
        in_subprocess=decode_in_subprocess if records.in_subprocess else None,
    )


def _resident(name: str, shapes: PyTree, size: int, read: Callable[[np.ndarray], Batch], split: str) -> PyTree:
    """Return all rows as arrays: kept ones where they are there and sound, else decoded, and kept where that can be."""
    leaves, structure = jax.tree.flatten(shapes)
    root = cache_folder()
    if root is None:
        warn(f"decoded {split} is not kept, for this user has no home; set FDL_CACHE to a folder")
        return jax.tree.unflatten(structure, _fill(_in_memory(leaves, size), size, read, split))
    try:
        kept = _mapped(root / name, leaves, size)
    except Damaged as error:
        warn(f"{error}; it is decoded again")
        shutil.rmtree(root / name, ignore_errors=True)
        kept = None
    if kept is None:
        try:
            with _draft(root) as draft:
                arrays = [_new_file(draft / f"{i}.npy", leaf, size) for i, leaf in enumerate(leaves)]
                kept = _publish(draft, root / name, _fill(arrays, size, read, split))
        except _Unkept as unkept:
            warn(f"decoded {split} is not kept under {root}: {brief(unkept)}; it takes memory, and time at every start")
            kept = unkept.arrays or _fill(_in_memory(leaves, size), size, read, split)
    return jax.tree.unflatten(structure, kept)


class _Unkept(Exception):
    """The cache is full, read-only or on a file system that lacks what it takes. arrays: what was decoded already."""

    def __init__(self, error: OSError, arrays: list[np.ndarray] | None = None):
        super().__init__(error.strerror or str(error))
        self.arrays = arrays


def _mapped(folder: Path, leaves: Sequence[Any], size: int) -> list[np.ndarray] | None:
    """Return the kept arrays as memory maps, None where there are none; raise Damaged where one is not what was kept.

    The digests cost one reading of the arrays, which are read at once anyway.
    """
    if not folder.exists():
        return None
    try:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="ascii"))
        arrays = [np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(len(leaves))]
        sound = [digest_of_array(array) for array in arrays] == digests and all(
            array.shape == (size, *leaf.shape) and array.dtype == leaf.dtype
            for array, leaf in zip(arrays, leaves, strict=True)
        )
    except (OSError, ValueError, RecursionError):
        sound = False
    if not sound:
        raise Damaged(f"the decoded set {folder} is damaged")
    return arrays


@contextmanager
def _draft(root: Path) -> Iterator[Path]:
    """Make a folder for a set that is being decoded, and sweep those that killed processes left.

    Its process holds a lock on it, so that others can tell.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(f"{_DECODING}*"):
            _sweep(left)
        draft = Path(tempfile.mkdtemp(prefix=_DECODING, dir=root))
        handle = os.open(draft, os.O_RDONLY)
    except OSError as error:
        raise _Unkept(error) from error
    try:
        _lock(handle)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(handle)


def _sweep(left: Path) -> None:
    with suppress(OSError):
        handle = os.open(left, os.O_RDONLY)
        try:
            if _lock(handle):
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def _new_file(file: Path, leaf: Any, size: int) -> np.ndarray:
    """Return a new array file as a memory map. Its bytes are allocated: a full disk says so here, else by SIGBUS."""
    dtype, shape = np.dtype(leaf.dtype), (size, *leaf.shape)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    try:
        with open(file, "xb") as out:
            np.lib.format.write_array_header_2_0(out, header)
            out.flush()
            allocate = getattr(os, "posix_fallocate", lambda handle, _, end: os.truncate(handle, end))
            allocate(out.fileno(), 0, out.tell() + math.prod(shape) * dtype.itemsize)
        return np.lib.format.open_memmap(file, mode="r+")
    except OSError as error:
        raise _Unkept(error) from error


def _in_memory(leaves: Sequence[Any], size: int) -> list[np.ndarray]:
    return [np.empty((size, *leaf.shape), leaf.dtype) for leaf in leaves]


def _fill(arrays: list[np.ndarray], size: int, read: Callable[[np.ndarray], Batch], split: str) -> list[np.ndarray]:
    """Decode all rows in blocks on two or more threads, into arrays, and return these."""
    from tqdm import tqdm

    row_bytes = max(1, sum(array.nbytes for array in arrays) // max(1, size))
    block = max(1, min(_BLOCK, _BLOCK_BYTES // row_bytes))

    def fill(start: int) -> int:
        index = np.arange(start, min(start + block, size))
        batch = read(index)
        for array, rows in zip(arrays, jax.tree.leaves((batch.inputs, batch.targets)), strict=True):
            array[index] = rows
        return len(index)

    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        tqdm(total=size, desc=f"decoding {split}", unit=" examples", delay=2, leave=False) as bar,
    ):
        for count in threads.map(fill, range(0, size, block)):
            bar.update(count)
    return arrays


def _publish(draft: Path, folder: Path, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Give a decoded set its name, by one rename, and return it; another process may have been faster."""
    try:
        for array in arrays:
            array.flush()  # type: ignore[attr-defined]  # it is a memory map
        (draft / _DIGESTS).write_text(json.dumps([digest_of_array(array) for array in arrays]), encoding="ascii")
        draft.rename(folder)
    except OSError as error:
        if not folder.exists():
            raise _Unkept(error, [np.array(array) for array in arrays]) from error
    for array in arrays:
        array.flags.writeable = False
    return arrays
