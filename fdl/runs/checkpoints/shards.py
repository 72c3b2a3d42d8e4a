"""Sharded checkpoints: each process writes the shards of its local devices; any number of processes can read them.

A piece is a block of one leaf. A block replicated on several devices is written once, by the process of replica 0.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl.core.errors import Damaged, brief
from fdl.core.types import PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.atomic_files import delete
from fdl.runs.checkpoints.digest import describe, verify_leaf
from fdl.runs.checkpoints.structure import leaves, name_now


class Piece(NamedTuple):
    """A block of a leaf: `leaf[start:stop, ...] = array`, with (start, stop) of each dimension in `place`."""

    name: str
    place: tuple[tuple[int, int], ...]
    array: np.ndarray

    def put(self, leaf: np.ndarray) -> None:
        """Copy the piece into a leaf."""
        leaf[tuple(slice(start, stop) for start, stop in self.place)] = self.array


def are_needed(tree: PyTree) -> bool:
    """Return whether a tree holds arrays that are split over processes."""
    return processes.count() > 1 and any(processes.is_split(leaf) for leaf in jax.tree.leaves(tree))


def local_pieces(leaves: Iterable[tuple[str, Any]]) -> list[Piece]:
    """Return the pieces that this process writes; together the processes write each element once."""
    pieces = []
    for name, leaf in leaves:
        if processes.is_split(leaf):
            shards = [(shard.index, shard.data) for shard in leaf.addressable_shards if shard.replica_id == 0]
        else:
            shards = [((slice(None),) * np.ndim(leaf), leaf)] if processes.first() else []
        for index, data in shards:
            place = tuple(part.indices(size)[:2] for part, size in zip(index, leaf.shape, strict=True))
            pieces.append(Piece(name, place, np.asarray(data)))
    return pieces


def common(folder: Path) -> Path | None:
    """Create a folder in the first process; return its path if all processes see it (shared file system), else None."""

    def make() -> list[str]:
        delete(folder)
        folder.mkdir(parents=True)
        mark = folder / f"seen-{uuid.uuid4().hex}"
        mark.touch()
        return [str(folder.absolute()), mark.name]

    place, mark = processes.on_first_process(make)
    seen = processes.all_agree((Path(place) / mark).exists())
    if processes.first():
        (folder / mark).unlink()
    return Path(place) if seen else None


def write_pieces(draft: Path, pieces: Sequence[Piece]) -> None:
    """Write the pieces of this process, and the manifest that says what they are."""
    part = f"pieces-{processes.index()}"
    (draft / part).mkdir()
    for i, piece in enumerate(pieces):
        np.save(draft / part / f"{i}.npy", piece.array, allow_pickle=False)
    manifest = [{"name": piece.name, "place": piece.place, **describe(piece.array)} for piece in pieces]
    (draft / f"{part}.json").write_text(json.dumps({part: manifest}), encoding="utf-8")


def joined_manifest(draft: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the manifests of all processes as one: part -> its pieces."""
    manifests = [json.loads(file.read_text(encoding="utf-8")) for file in draft.glob("pieces-*.json")]
    return {part: listed for one in manifests for part, listed in one.items()}


def read_pieces(folder: Path, want: TrainState, parts: Mapping[str, list[Mapping[str, Any]]]) -> TrainState:
    """Fill `want`, an array per leaf, with the pieces of all parts."""
    arrays = dict(leaves(want))
    for part, manifest in parts.items():
        for i, one in enumerate(manifest):
            file = folder / part / f"{i}.npy"
            try:
                leaf = arrays[name_now(one["name"])]
                # .npy files do not record bfloat16; the commit does.
                piece = Piece(one["name"], one["place"], np.load(file, allow_pickle=False).view(leaf.dtype))
                verify_leaf(file, piece.name, piece.array, one)
                piece.put(leaf)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Damaged(f"{file} does not read: {brief(error)}") from error
    return want
