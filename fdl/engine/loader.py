"""Feeds: which rows each step and each evaluation sees, and how they come to the device.

Two feeds give the same batches, bit for bit. *Resident*: the data lives on the device and the host sends row numbers.
*Streamed*: the host decodes rows ahead of time, in several processes where there is much to decode and in threads where
there is little, and sends them as they are stored (bytes stay bytes).

Shape legend: B batch, S steps per call.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from queue import SimpleQueue
from typing import Literal

import jax
import numpy as np

from fdl.core.integers import ceil_div
from fdl.core.types import Batch, Rows
from fdl.data.dataset import LazySource, Source
from fdl.engine.shuffle import orders
from fdl.parallel import memory

_AHEAD = 2**28  # bytes that are decoded before they are wanted
_BLOCK, _MOST = 2**20, 32  # bytes and steps that are read together
_MUCH = 2**28  # bytes to decode that are worth starting processes, which takes some seconds
_MIB = 2**20
Read = Callable[[np.ndarray], Batch]
WORKERS = max(2, os.cpu_count() or 2)


def training_rows(seed: int, first_step: int, steps: int, *, batch_size: int, size: int) -> Rows:
    """Return the rows of the S training batches that begin at `first_step`: a function of its arguments alone."""
    indices = orders(seed, first_step, steps, batch_size=batch_size, size=size).astype(np.int32)
    return Rows(indices, np.ones(indices.shape, np.float32))


def in_blocks(rows: Callable[[int, int], Rows], block: int) -> Callable[[int, int], Rows]:
    """Return the same rows, computed for `block` steps at once: many steps cost little more than one."""

    @lru_cache(maxsize=2)
    def whole(number: int) -> Rows:
        return rows(number * block, block)

    def some(step: int, count: int) -> Rows:
        number, offset = divmod(step, block)
        if offset + count > block:
            return rows(step, count)
        part = slice(offset, offset + count)
        return Rows(*(leaf[part] for leaf in whole(number)))

    return some


def evaluation_rows(*, batch_size: int, size: int) -> Rows:
    """Return every row exactly once and in order, the last batch padded to the one shape with weight 0."""
    steps = ceil_div(size, batch_size)
    place = np.arange(steps * batch_size, dtype=np.int32).reshape(steps, batch_size)
    return Rows(np.where(place < size, place, 0), (place < size).astype(np.float32))


def choose(
    asked: Literal["auto", "resident", "streamed"], source: Source | LazySource, device: jax.Device
) -> tuple[Literal["resident", "streamed"], str]:
    """Return which feed a source takes, and why: resident if it needs no more than a quarter of the free memory."""
    mib = f"{source.nbytes / _MIB:,.1f} MiB"
    if asked != "auto":
        return asked, f"as asked, {mib}"
    free = memory.free(device)
    if source.nbytes <= free // 4:
        return "resident", f"{mib}"
    return "streamed", f"{mib} are more than a quarter of the {free / _MIB:,.0f} MiB free"


class Stream:
    """Rows on their way to the device: decoded beside the steps, a little ahead of the one that wants them.

    rows: `(step, count) -> Rows` of the batches; since it is stateless, so is this, but for what it has begun.
    end:  the step at which nothing more is wanted.
    look: is shown all rows that are read and their numbers, and raises where something is wrong.
    own:  `B -> slice`, the rows of a batch that devices of this process hold; the others are left blank.

    Small batches are read several at once, as one block: the readers of record files are slow at many small requests.
    """

    def __init__(
        self,
        source: Source | LazySource,
        rows: Callable[[int, int], Rows],
        end: int,
        look: Callable[[Batch, np.ndarray], None] = lambda batch, indices: None,
        own: Callable[[int], slice] = slice,
    ):
        self.source, self.rows, self.end, self.look, self.own = source, rows, end, look, own
        self.threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="decode")
        self.decoders: SimpleQueue[Read] = SimpleQueue()
        self.begun: dict[int, Future[Batch]] = {}
        self.block = self.block_bytes = 0

    def __call__(self, step: int, count: int) -> Batch:
        """Return the batches [S, B, ...] of `count` steps from `step` on."""
        if not self.block:
            self.start(step)
        first, last = step // self.block, (step + count - 1) // self.block
        for gone in [other for other in self.begun if other < first]:
            self.begun.pop(gone).cancel()
        ahead = min(max(WORKERS, 2 * (last + 1 - first)), max(2, _AHEAD // self.block_bytes))
        for wanted in range(first, max(last + 1, min(last + 1 + ahead, ceil_div(self.end, self.block)))):
            if wanted not in self.begun:
                self.begun[wanted] = self.threads.submit(self.fetch, wanted)
        parts = []
        for number in range(first, last + 1):
            begin = number * self.block
            part = slice(max(step - begin, 0), step + count - begin)
            parts.append(jax.tree.map(lambda leaf, part=part: leaf[part], self.begun[number].result()))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def start(self, step: int) -> None:
        """Choose how many batches are one block, and where they are decoded: by processes if there is much to do."""
        first = self.rows(step, 1).indices[0]
        batch_bytes = first[self.own(len(first))].size * sum(
            leaf.nbytes for leaf in jax.tree.leaves(self.source.fetch(np.arange(1)))
        )
        self.block = max(1, min(_BLOCK // batch_bytes, _MOST))
        self.block_bytes = self.block * batch_bytes
        much = (self.end - step) * batch_bytes > _MUCH
        apart = self.source.apart if isinstance(self.source, LazySource) and much else None
        for _ in range(WORKERS):
            self.decoders.put(looked_at(apart() if apart else self.source.fetch, self.look))

    def fetch(self, number: int) -> Batch:
        """Return the batches [S, B, ...] of one block, their weights multiplied by those of their rows."""
        rows = self.rows(number * self.block, self.block)
        size = rows.indices.shape[1]
        own = self.own(size)
        indices = np.asarray(rows.indices[:, own])
        decode = self.decoders.get()
        try:
            flat = decode(indices.reshape(-1))
        finally:
            self.decoders.put(decode)
        batch: Batch = jax.tree.map(lambda leaf: leaf.reshape(*indices.shape, *leaf.shape[1:]), flat)
        weights = rows.weights[:, own].reshape(*indices.shape, *(1,) * (batch.weights.ndim - 2))
        return blank_around(batch._replace(weights=batch.weights * weights), own, size)


def looked_at(read: Read, look: Callable[[Batch, np.ndarray], None]) -> Read:
    """Return the function that reads rows and shows them to `look` before anybody else sees them."""

    def read_and_look(indices: np.ndarray) -> Batch:
        batch = read(indices)
        look(batch, indices)
        return batch

    return read_and_look


def blank_around(batch: Batch, own: slice, size: int) -> Batch:
    """Return batches [S, `size`, ...] that hold these at `own` and zeros elsewhere, where nobody here will look."""
    if batch.weights.shape[1] == size:
        return batch

    def whole(leaf: np.ndarray) -> np.ndarray:
        filled = np.zeros((len(leaf), size, *leaf.shape[2:]), leaf.dtype)
        filled[:, own] = leaf
        return filled

    return jax.tree.map(whole, batch)
