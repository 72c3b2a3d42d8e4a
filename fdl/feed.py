"""Feeds: which rows each step and each evaluation sees, and how they come to the device.

Two feeds give the same batches, bit for bit. *Resident*: the data lives on the device and the host sends row numbers.
*Streamed*: the host decodes rows ahead of time on several threads and sends them as they are stored (bytes stay bytes).

Shape legend: B batch, S steps per call.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import jax
import numpy as np

from fdl.data.order import orders
from fdl.data.source import LazySource, Source
from fdl.types import Batch, Rows

_AHEAD = 2**28  # bytes that are decoded before they are wanted
_MIB = 2**20


def training_rows(seed: int, first_step: int, steps: int, *, batch_size: int, size: int) -> Rows:
    """Return the rows of the S training batches that begin at `first_step`: a function of its arguments alone."""
    indices = orders(seed, first_step, steps, batch_size=batch_size, size=size).astype(np.int32)
    return Rows(indices, np.ones(indices.shape, np.float32))


def evaluation_rows(*, batch_size: int, size: int) -> Rows:
    """Return every row exactly once and in order, the last batch padded to the one shape with weight 0."""
    steps = -(-size // batch_size)
    place = np.arange(steps * batch_size, dtype=np.int32).reshape(steps, batch_size)
    return Rows(np.where(place < size, place, 0), (place < size).astype(np.float32))


def choose(
    asked: Literal["auto", "resident", "streamed"], source: Source | LazySource, device: jax.Device
) -> tuple[Literal["resident", "streamed"], str]:
    """Return which feed a source takes, and why: resident if it needs no more than a quarter of the free memory."""
    mib = f"{source.nbytes / _MIB:,.1f} MiB"
    if asked != "auto":
        return asked, f"as asked, {mib}"
    free = free_memory(device)
    if source.nbytes <= free // 4:
        return "resident", f"{mib}"
    return "streamed", f"{mib} are more than a quarter of the {free / _MIB:,.0f} MiB free"


def free_memory(device: jax.Device) -> int:
    """Return the bytes that are free where data of this device would live."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Stream:
    """Rows on their way to the device: decoded by threads, a few batches ahead of the step that wants them.

    rows: `(step, count) -> Rows` of the batches; since it is stateless, so is this, but for what it has begun.
    end:  the step at which nothing more is wanted.
    look: is shown every batch and its row numbers, and raises where something is wrong.
    own:  `B -> slice`, the rows of a batch that the devices of this process hold; the others are left blank.
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
        self.workers = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="decode")
        self.begun: dict[int, Future[Batch]] = {}
        self.batch_bytes = 0

    def __call__(self, step: int, count: int) -> Batch:
        """Return the batches [S, B, ...] of `count` steps from `step` on."""
        for gone in [other for other in self.begun if other < step]:
            self.begun.pop(gone).cancel()
        ahead = min(2 * count, max(2, _AHEAD // self.batch_bytes)) if self.batch_bytes else 1
        for wanted in range(step, max(step + count, min(step + count + ahead, self.end))):
            if wanted not in self.begun:
                self.begun[wanted] = self.workers.submit(self.fetch, wanted)
        batches = [self.begun.pop(wanted).result() for wanted in range(step, step + count)]
        self.batch_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(batches[0]))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)

    def fetch(self, step: int) -> Batch:
        """Return the batch [B, ...] of one step, its weights multiplied by those of its rows."""
        rows = self.rows(step, 1)
        own = self.own(rows.indices.shape[1])
        indices = np.asarray(rows.indices[0, own])
        batch = self.source.fetch(indices)
        self.look(batch, indices)
        weights = rows.weights[0, own].reshape(-1, *(1,) * (batch.weights.ndim - 1))
        return blank_around(batch._replace(weights=batch.weights * weights), own, rows.indices.shape[1])


def blank_around(batch: Batch, own: slice, size: int) -> Batch:
    """Return a batch of `size` rows that holds these at `own` and zeros elsewhere, where nobody here will look."""
    if len(batch.weights) == size:
        return batch

    def whole(leaf: np.ndarray) -> np.ndarray:
        filled = np.zeros((size, *leaf.shape[1:]), leaf.dtype)
        filled[own] = leaf
        return filled

    return jax.tree.map(whole, batch)
