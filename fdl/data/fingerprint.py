"""Digests of files: of all their bytes, and of what is seen at once; and of arrays."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

SOON = 2**28  # bytes that are read at every start of a run


def fingerprint(files: Iterable[Path]) -> str:
    """Return a digest of files with the names of their folders; costs reading them once."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        with open(path, "rb") as file:
            digest.update(
                os.fsencode(f"{path.parent.name}/{path.name} ") + hashlib.file_digest(file, "blake2b").digest()
            )
    return digest.hexdigest()


def quick_fingerprint(files: Iterable[Path], whole: Callable[[], str] | None = None) -> str:
    """Return `fingerprint` where that reads at most 256 MiB, else a digest of what a listing shows: names and sizes.

    Times are not looked at: a copy of the same files is the same data. whole: gives `fingerprint`, which may be known.
    """
    listed = [(path, path.stat().st_size) for path in files]
    if sum(size for _, size in listed) <= SOON:
        return whole() if whole else fingerprint(path for path, _ in listed)
    names = "".join(f"{path.parent.name}/{path.name} {size}\n" for path, size in listed)
    return hashlib.blake2b(os.fsencode(names), digest_size=16).hexdigest()


def array_digest(arrays: Iterable[np.ndarray]) -> str:
    """Return a digest of the values, dtypes and shapes of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        whole = np.ascontiguousarray(array)
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(whole.tobytes() if array.dtype.kind == "O" else whole.data)
    return digest.hexdigest()
