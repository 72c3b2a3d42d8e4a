"""A state that is split over processes, in pieces: each process writes what its own devices hold, any number reads.

A piece is a block of one leaf. Blocks that several devices hold are written once, by the process of the first of them.
"""

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl.core.errors import Damaged, brief
from fdl.core.types import PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.atomic_files import delete
from fdl.runs.checkpoints.digest import prove
from fdl.runs.checkpoints.structure import leaves, name_now


class Piece(NamedTuple):
    """A block of a leaf: `leaf[start:stop, ...] = array`, with (start, stop) of each dimension in `place`."""

    name: str
    place: tuple[tuple[int, int], ...]
    array: np.ndarray

    def put(self, leaf: np.ndarray) -> None:
        """Write the piece to its place in a leaf."""
        leaf[tuple(slice(start, stop) for start, stop in self.place)] = self.array


def are_needed(tree: PyTree) -> bool:
    """Say whether a tree holds arrays of which no process has the whole."""
    return processes.count() > 1 and any(processes.is_split(leaf) for leaf in jax.tree.leaves(tree))


def own(leaves: Iterable[tuple[str, Any]]) -> list[Piece]:
    """Return the pieces of named leaves that this process writes; together the processes write each number once."""
    found = []
    for name, leaf in leaves:
        if processes.is_split(leaf):
            shards = [(shard.index, shard.data) for shard in leaf.addressable_shards if shard.replica_id == 0]
        else:
            shards = [((slice(None),) * np.ndim(leaf), leaf)] if processes.first() else []
        for index, data in shards:
            place = tuple(part.indices(size)[:2] for part, size in zip(index, leaf.shape, strict=True))
            found.append(Piece(name, place, np.asarray(data)))
    return found


def common(folder: Path) -> Path | None:
    """Make a new folder in the first process and return its path if every process sees it there; else None."""

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


def read_pieces(folder: Path, want: TrainState, parts: Mapping[str, list[Mapping[str, Any]]]) -> TrainState:
    """Return `want`, an array for each leaf, filled with the pieces of all parts."""
    arrays = dict(leaves(want))
    for part, told in parts.items():
        for i, one in enumerate(told):
            file = folder / part / f"{i}.npy"
            try:
                leaf = arrays[name_now(one["name"])]
                # NumPy's files do not know bfloat16 by name; the commit does.
                piece = Piece(one["name"], one["place"], np.load(file, allow_pickle=False).view(leaf.dtype))
                prove(file, piece.name, piece.array, one)
                piece.put(leaf)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise Damaged(f"{file} does not read: {brief(error)}") from error
    return want
