"""Digests of a commit's leaves, of its files and of its metadata."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.digest import digest, digest_of_array
from fdl.core.errors import Damaged
from fdl.core.types import Array


def verify_leaf(path: Path, name: str, array: np.ndarray, written: Mapping[str, Any]) -> None:
    """Raise Damaged if an array does not match its description at the time of writing."""
    if any(written[kind] != seen for kind, seen in describe(array).items()):
        raise Damaged(f"{path} is damaged: leaf {name} does not hold what was written")


def describe(leaf: Array) -> dict[str, Any]:
    """Describe a leaf for verification: dtype, shape and the digest of its bytes."""
    leaf = np.asarray(leaf)
    return {"dtype": leaf.dtype.name, "shape": list(leaf.shape), "digest": digest_of_array(leaf)}


def digest_of_json(value: Any) -> str:
    """Return the digest of a JSON value, independent of whitespace."""
    return digest(np.frombuffer(json.dumps(value).encode(), np.uint8))


def digest_of_file(file: Path) -> str:
    """Return the digest of a file's content."""
    return digest(np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8))


def digests_of_folder(folder: Path, without: Callable[[str], bool] = lambda file: False) -> dict[str, str]:
    """Return the digest of each file below a folder, by its path from there; without: those that are left out."""
    files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: digest_of_file(file) for name, file in files.items() if not without(name)}
