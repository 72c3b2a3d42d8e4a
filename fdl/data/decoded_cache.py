"""Decode once: what had to be decoded is kept on disk by content and mapped into memory from then on."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from fdl.core.types import Batch, PyTree
from fdl.data.dataset import LazySource, Source, Spec, take_columns
from fdl.data.readers.worker import Decoder, Gone
from fdl.data.records import Column, Read, Records

_BLOCK = 1024


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
    """Return a source that decodes rows when asked, and everything once when asked to be resident.

    join:  `(columns, split, indices) -> Batch` of what was read.
    key:   whatever besides the files decides what the decoded arrays hold.
    sizes: of columns of images that `join` resizes, their shape then.
    """
    if split not in spec.sizes:
        raise ValueError(f"there is no split {split!r}; splits are {', '.join(spec.sizes)}")
    size = spec.sizes[split]
    leaves = jax.tree.leaves((spec.inputs, spec.targets))
    nbytes = size * sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in leaves)

    def reading(rows: Read) -> Callable[[np.ndarray], Batch]:
        return lambda indices: join(rows(split, indices, columns), split, indices)

    def apart() -> Callable[[np.ndarray], Batch]:
        assert records.apart is not None
        here, there = records.read, records.apart(Decoder(sizes or {}))

        def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            try:
                return there(split, indices, names)
            except Gone:
                return here(split, indices, names)

        return reading(read)

    read = reading(records.read)

    def load() -> Source:
        name = hashlib.blake2b(f"{records.fingerprint()} {split} {size} {key} 2".encode(), digest_size=16).hexdigest()
        arrays = _mapped(cache_folder() / name, (spec.inputs, spec.targets), size)
        if arrays is None:
            arrays = _decode(cache_folder() / name, (spec.inputs, spec.targets), size, read, split)
        return Source(arrays=arrays, size=size, take=take_columns)

    return LazySource(size=size, read=read, load=load, nbytes=nbytes, apart=apart if records.apart else None)


def cache_folder() -> Path:
    """Return where decoded sets are kept: $FDL_CACHE, or ~/.cache/fdl."""
    return Path(os.environ.get("FDL_CACHE") or Path.home() / ".cache" / "fdl")


def _mapped(folder: Path, shapes: PyTree, size: int) -> PyTree | None:
    """Return the kept arrays as memory maps, None where they are not (all) there."""
    leaves, structure = jax.tree.flatten(shapes)
    arrays = []
    for number, leaf in enumerate(leaves):
        try:
            array = np.load(folder / f"{number}.npy", mmap_mode="r")
        except (OSError, ValueError):
            return None
        if array.shape != (size, *leaf.shape) or array.dtype != leaf.dtype:
            return None
        arrays.append(array)
    return jax.tree.unflatten(structure, arrays)


def _decode(folder: Path, shapes: PyTree, size: int, read: Callable[[np.ndarray], Batch], split: str) -> PyTree:
    """Decode all rows in blocks on two or more threads, into files that appear under `folder` only when complete."""
    from tqdm import tqdm

    folder.parent.mkdir(parents=True, exist_ok=True)
    leaves, structure = jax.tree.flatten(shapes)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        arrays = [
            np.lib.format.open_memmap(f"{scratch}/{i}.npy", mode="w+", dtype=leaf.dtype, shape=(size, *leaf.shape))
            for i, leaf in enumerate(leaves)
        ]

        def fill(start: int) -> int:
            index = np.arange(start, min(start + _BLOCK, size))
            batch = read(index)
            for array, rows in zip(arrays, jax.tree.leaves((batch.inputs, batch.targets)), strict=True):
                array[index] = rows
            return len(index)

        with (
            ThreadPoolExecutor(os.cpu_count()) as threads,
            tqdm(total=size, desc=f"decoding {split}", unit=" examples", delay=2, leave=False) as bar,
        ):
            for count in threads.map(fill, range(0, size, _BLOCK)):
                bar.update(count)
        for array in arrays:
            array.flush()
        kept = jax.tree.unflatten(structure, arrays)
        try:
            os.rename(scratch, folder)
            os.mkdir(scratch)  # for TemporaryDirectory to remove
        except OSError:
            return jax.tree.map(np.array, kept)  # another process was faster, or the disk does not rename
    return _mapped(folder, shapes, size)
