"""Sharded checkpoints: each process writes the shards of its local devices, and reads those that its devices will hold.

A piece is a block of one leaf, in a file of its own with a digest of its own. A block replicated on several devices is
written once, by the process of replica 0. Any number of processes can read what any other number wrote: each reads the
pieces that overlap with its shards. Orbax's own files are split in the same way, but have no digests (docs/scaling.md).
"""

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from fdl.core.errors import Damaged, brief
from fdl.core.types import PyTree, TrainState
from fdl.parallel import processes
from fdl.runs.atomic_files import delete, flush
from fdl.runs.checkpoints.digest import describe, verify_leaf
from fdl.runs.checkpoints.structure import by_name, leaves, name_now

Place = tuple[tuple[int, int], ...]  # (start, stop) of each dimension
Manifest = Mapping[str, Sequence[Mapping[str, Any]]]  # part -> its pieces: name, place, dtype, shape and digest


class Piece(NamedTuple):
    """A block of a leaf: `leaf[start:stop, ...] = array`, with (start, stop) of each dimension in `place`."""

    name: str
    place: Place
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
            pieces.append(Piece(name, _place(index, np.shape(leaf)), np.asarray(data)))
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
    """Write the pieces of this process durably, and the manifest that says what they are."""
    part = f"pieces-{processes.index()}"
    (draft / part).mkdir()
    for i, piece in enumerate(pieces):
        np.save(draft / part / f"{i}.npy", piece.array, allow_pickle=False)
        flush(draft / part / f"{i}.npy")
    manifest = [{"name": piece.name, "place": piece.place, **describe(piece.array)} for piece in pieces]
    (draft / f"{part}.json").write_text(json.dumps({part: manifest}), encoding="utf-8")
    for path in (draft / part, draft / f"{part}.json"):
        flush(path)


def joined_manifest(draft: Path) -> Manifest:
    """Return the manifests of all processes as one: part -> its pieces."""
    manifests = [json.loads(file.read_text(encoding="utf-8")) for file in draft.glob("pieces-*.json")]
    return {part: listed for one in manifests for part, listed in one.items()}


def is_piece(file: str) -> bool:
    """Return whether a file of a commit, by its path from there, is a piece, whose digest is in the manifest."""
    return file.startswith("pieces-") and file.endswith(".npy")


def read_pieces(folder: Path, arrays: Mapping[str, np.ndarray], manifest: Manifest) -> None:
    """Fill whole leaves, by name, with their pieces; raise Damaged."""
    for file, one in _files(folder, manifest):
        if (leaf := arrays.get(name_now(one["name"]))) is None:
            raise Damaged(f"{file} is of {one['name']}, which the checkpoint does not list")
        _read(file, one, leaf.dtype).put(leaf)


def read_dictionaries(folder: Path, leaves: Mapping[str, Mapping[str, Any]], manifest: Manifest) -> dict[str, Any]:
    """Return a whole state as nested dictionaries, as Orbax reads one without a structure; raise Damaged.

    leaves: the dtype and the shape of each.
    """
    arrays = {name_now(name): np.empty(leaf["shape"], jnp.dtype(leaf["dtype"])) for name, leaf in leaves.items()}
    read_pieces(folder, arrays, manifest)
    return by_name(arrays)


def verify_pieces(folder: Path, manifest: Manifest) -> None:
    """Read every piece; raise Damaged where one does not hold what was written."""
    for file, one in _files(folder, manifest):
        _read(file, one, jnp.dtype(one["dtype"]))


def read_shards(folder: Path, shapes: TrainState, layout: PyTree, manifest: Manifest) -> TrainState:
    """Return a placed state of which this process has read the shards of its local devices and no other piece.

    shapes: of the leaves. layout: the sharding of each leaf. Raises Damaged.
    """
    pieces: dict[str, list[tuple[Path, Mapping[str, Any]]]] = {}
    for file, one in _files(folder, manifest):
        pieces.setdefault(name_now(one["name"]), []).append((file, one))
    flat, structure = jax.tree.flatten(shapes)
    names = {at: name for name, at in leaves(jax.tree.unflatten(structure, range(len(flat))))}
    placed = [
        _placed(names[at], leaf, sharding, pieces.get(names[at], ()))
        for at, (leaf, sharding) in enumerate(zip(flat, jax.tree.leaves(layout), strict=True))
    ]
    state: TrainState = jax.tree.unflatten(structure, placed)
    return state


def _placed(
    name: str, leaf: jax.ShapeDtypeStruct, sharding: Sharding, pieces: Sequence[tuple[Path, Mapping[str, Any]]]
) -> jax.Array:
    """Return a leaf whose local shards are put together from the pieces that overlap with them, each read once."""
    read: dict[Path, Piece] = {}
    blocks: dict[Place, np.ndarray] = {}
    shards = []
    for device, index in sharding.addressable_devices_indices_map(leaf.shape).items():
        place = _place(index or (), leaf.shape)
        if place not in blocks:
            block, filled = np.empty([stop - start for start, stop in place], leaf.dtype), 0
            for file, one in pieces:
                common = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(place, one["place"], strict=True)]
                if all(start < stop for start, stop in common):
                    piece = read[file] = read.get(file) or _read(file, one, leaf.dtype)
                    block[_from(place, common)] = piece.array[_from(piece.place, common)]
                    filled += math.prod(stop - start for start, stop in common)
            if filled != block.size:
                raise Damaged(f"{name} is not whole: its pieces hold {filled} of {block.size} numbers of a shard")
            blocks[place] = block
        shards.append(jax.device_put(blocks[place], device))
    return jax.make_array_from_single_device_arrays(leaf.shape, sharding, shards)


def _files(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for part, listed in manifest.items():
        for i, one in enumerate(listed):
            yield folder / part / f"{i}.npy", one


def _read(file: Path, one: Mapping[str, Any], dtype: Any) -> Piece:
    """Return a piece that holds the very bytes that were written; raise Damaged."""
    try:
        # .npy files do not record bfloat16; the commit does.
        array = np.load(file, allow_pickle=False).view(dtype)
        verify_leaf(file, one["name"], array, one)
        return Piece(one["name"], tuple((start, stop) for start, stop in one["place"]), array)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{file} does not read: {brief(error)}") from error


def _place(index: Sequence[slice], shape: Sequence[int]) -> Place:
    ranges = (part.indices(size) for part, size in zip(index, shape, strict=True))
    return tuple((start, stop) for start, stop, _ in ranges)


def _from(place: Place, common: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """Return where a common part lies in the block at a place."""
    return tuple(slice(start - begin, stop - begin) for (begin, _), (start, stop) in zip(place, common, strict=True))
