"""Data loading: which rows each step and evaluation uses, and how they are fed to the device.

Two feeds give bit-identical batches. *Resident*: the data is stored on the device and the host sends row indices.
*Streamed*: the host decodes rows ahead of time, in subprocesses for large data and in threads for small, and sends them
in their stored dtype (bytes stay bytes).

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

_AHEAD = 2**28  # bytes that are prefetched
_BLOCK, _MOST = 2**20, 32  # maximum bytes and steps of a block, which is read at once
_MUCH = 2**28  # bytes to decode from which subprocesses pay off; starting them takes some seconds
_MIB = 2**20
Read = Callable[[np.ndarray], Batch]
WORKERS = max(2, os.cpu_count() or 2)


def training_rows(seed: int, first_step: int, steps: int, *, batch_size: int, size: int) -> Rows:
    """Return the rows of the S training batches from `first_step` on, a pure function."""
    indices = orders(seed, first_step, steps, batch_size=batch_size, size=size).astype(np.int32)
    return Rows(indices, np.ones(indices.shape, np.float32))


def in_blocks(rows: Callable[[int, int], Rows], block: int) -> Callable[[int, int], Rows]:
    """Return the same rows, computed and cached in blocks of `block` steps: many steps cost little more than one."""

    @lru_cache(maxsize=2)
    def padded(number: int) -> Rows:
        return rows(number * block, block)

    def some(step: int, count: int) -> Rows:
        number, offset = divmod(step, block)
        if offset + count > block:
            return rows(step, count)
        part = slice(offset, offset + count)
        return Rows(*(leaf[part] for leaf in padded(number)))

    return some


def evaluation_rows(*, batch_size: int, size: int, first: int = 0, count: int | None = None) -> Rows:
    """Return every row exactly once and in order, the last batch padded with weight 0; or `count` batches of these."""
    last = ceil_div(size, batch_size) if count is None else first + count
    index = np.arange(first * batch_size, last * batch_size, dtype=np.int32).reshape(-1, batch_size)
    return Rows(np.where(index < size, index, 0), (index < size).astype(np.float32))


def choose_feed(
    requested: Literal["auto", "resident", "streamed"], source: Source | LazySource, device: jax.Device
) -> tuple[Literal["resident", "streamed"], str]:
    """Return the feed of a source, and why: resident if it fits into a quarter of the free memory."""
    mib = f"{source.nbytes / _MIB:,.1f} MiB"
    if requested != "auto":
        return requested, f"as requested, {mib}"
    free = memory.free(device)
    if isinstance(source, LazySource) and source.on_disk and device.platform == "cpu":
        return "streamed", f"{mib} on disk, which need not be held as the device's memory is the host's"
    if source.nbytes <= free // 4:
        return "resident", f"{mib}"
    return "streamed", f"{mib} are more than a quarter of the {free / _MIB:,.0f} MiB free"


class Stream:
    """The streamed feed: batches are decoded in the background, ahead of the step that needs them.

    rows: `(step, count) -> Rows` of the batches, stateless; the only state here is the prefetched blocks.
    end:  the last step.
    check: called with all decoded rows and their indices; raises if a value is invalid.
    local: `B -> slice`, the rows of a batch on devices of this process; the others are left zero.

    Several small batches are read as one block, because readers of record files are slow at many small requests.
    """

    def __init__(
        self,
        source: Source | LazySource,
        rows: Callable[[int, int], Rows],
        end: int,
        check: Callable[[Batch, np.ndarray], None] = lambda batch, indices: None,
        local: Callable[[int], slice] = slice,
    ):
        self.source, self.rows, self.end, self.check, self.local = source, rows, end, check, local
        self.threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="decode")
        self.decoders: SimpleQueue[Read] = SimpleQueue()
        self.pending: dict[int, Future[Batch]] = {}
        self.block = self.block_bytes = 0

    def __call__(self, step: int, count: int) -> Batch:
        """Return the batches [S, B, ...] of `count` steps from `step` on."""
        if not self.block:
            self.start(step)
        first, last = step // self.block, (step + count - 1) // self.block
        for stale in [other for other in self.pending if other < first]:
            self.pending.pop(stale).cancel()
        ahead = min(max(WORKERS, 2 * (last + 1 - first)), max(2, _AHEAD // self.block_bytes))
        for wanted in range(first, max(last + 1, min(last + 1 + ahead, ceil_div(self.end, self.block)))):
            if wanted not in self.pending:
                self.pending[wanted] = self.threads.submit(self.fetch, wanted)
        parts = []
        for number in range(first, last + 1):
            begin = number * self.block
            part = slice(max(step - begin, 0), step + count - begin)
            parts.append(jax.tree.map(lambda leaf, part=part: leaf[part], self.pending[number].result()))
        result: Batch = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        return result

    def start(self, step: int) -> None:
        """Choose the number of batches per block, and whether to decode in subprocesses or threads."""
        first = self.rows(step, 1).indices[0]
        batch_bytes = first[self.local(len(first))].size * sum(
            leaf.nbytes for leaf in jax.tree.leaves(self.source.fetch(np.arange(1)))
        )
        self.block = max(1, min(_BLOCK // batch_bytes, _MOST))
        self.block_bytes = self.block * batch_bytes
        much = (self.end - step) * batch_bytes > _MUCH
        in_subprocess = self.source.in_subprocess if isinstance(self.source, LazySource) and much else None
        for _ in range(WORKERS):
            self.decoders.put(checked(in_subprocess() if in_subprocess else self.source.fetch, self.check))

    def fetch(self, number: int) -> Batch:
        """Return the batches [S, B, ...] of one block, weighted by their rows' weights."""
        rows = self.rows(number * self.block, self.block)
        size = rows.indices.shape[1]
        local = self.local(size)
        indices = np.asarray(rows.indices[:, local])
        decode = self.decoders.get()
        try:
            flat = decode(indices.reshape(-1))
        finally:
            self.decoders.put(decode)
        batch: Batch = jax.tree.map(lambda leaf: leaf.reshape(*indices.shape, *leaf.shape[1:]), flat)
        weights = rows.weights[:, local].reshape(*indices.shape, *(1,) * (batch.weights.ndim - 2))
        return pad_to_global(batch._replace(weights=batch.weights * weights), local, size)


def checked(read: Read, check: Callable[[Batch, np.ndarray], None]) -> Read:
    """Return `read` with a check of its rows."""

    def read_and_check(indices: np.ndarray) -> Batch:
        batch = read(indices)
        check(batch, indices)
        return batch

    return read_and_check


def pad_to_global(batch: Batch, local: slice, size: int) -> Batch:
    """Return batches [S, `size`, ...] with these rows at `local` and zeros elsewhere, which no local device reads."""
    if batch.weights.shape[1] == size:
        return batch

    def padded(leaf: np.ndarray) -> np.ndarray:
        filled = np.zeros((len(leaf), size, *leaf.shape[2:]), leaf.dtype)
        filled[:, local] = leaf
        return filled

    result: Batch = jax.tree.map(padded, batch)
    return result
