"""Peak FLOPs and memory bandwidth of known chips, and the lower bounds they give for a step's time (roofline).

Peaks are those of the data sheets, for dense bfloat16 matrix products and the memory of one chip.
"""

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fdl.models.kernels.native import library
from fdl.parallel.executors import Executor
from fdl.profiling.timing import Clock


@dataclass(frozen=True)
class Chip:
    """flops: peak bfloat16 FLOP/s; bandwidth: peak memory bandwidth in bytes/s."""

    flops: float
    bandwidth: float


# Keys are substrings of `jax.Device.device_kind`.
CHIPS: Mapping[str, Chip] = {
    "T4": Chip(65e12, 0.32e12),
    "V100": Chip(125e12, 0.9e12),
    "L4": Chip(121e12, 0.3e12),
    "A100": Chip(312e12, 1.555e12),
    "H100": Chip(989e12, 3.35e12),
    "H200": Chip(989e12, 4.8e12),
    "B200": Chip(2250e12, 8.0e12),
    "GB200": Chip(2500e12, 8.0e12),
    "TPU v2": Chip(45e12, 0.7e12),
    "TPU v3": Chip(123e12, 0.9e12),
    "TPU v4 lite": Chip(138e12, 0.614e12),  # v4i
    "TPU v4": Chip(275e12, 1.2e12),
    "TPU v5 lite": Chip(197e12, 0.819e12),
    "TPU v5": Chip(459e12, 2.765e12),
    "TPU v6 lite": Chip(918e12, 1.64e12),
    "TPU7x": Chip(2307e12, 7.37e12),
}
# Product names that some versions of libtpu report -> the device kind of the same chip.
SOLD_AS = {"TPU v5e": "TPU v5 lite", "TPU v5p": "TPU v5", "TPU v6e": "TPU v6 lite", "TPU v7x": "TPU7x"}


def chip_of(kind: str) -> Chip | None:
    """Return the chip of a device kind, or None; the longest matching name wins."""
    words = f" {kind} ".replace("-", " ")
    named = [name for name in (*CHIPS, *SOLD_AS) if f" {name} " in words]
    if not named:
        return None
    name = max(named, key=len)
    return CHIPS[SOLD_AS.get(name, name)]


def floors(flops: float, moved: float) -> dict[str, tuple[float, str]]:
    """Return, per chip, the lower bound in seconds for these FLOPs and bytes moved, and which of the two it is."""
    return {
        name: max((flops / chip.flops, "compute"), (moved / chip.bandwidth, "memory")) for name, chip in CHIPS.items()
    }


def calibrate(executor: Executor, clock: Clock) -> dict[str, float]:
    """Measure the first device: the best of several runs of matrix products, a copy and an empty call.

    flops is that of the fastest product in float32: of one size on an accelerator, of several on a CPU.
    """
    device = executor.devices[0]
    sides, length = ((512, 1024, 2048), 2**24) if device.platform == "cpu" else ((8192,), 2**28)
    long = jax.device_put(np.ones(length, np.float32), device)
    one = jax.device_put(np.ones((), np.float32), device)

    def best(function: Callable[[Any], Any], x: Any, tries: int) -> float:
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(x))
        times = []
        for _ in range(tries):
            start = clock()
            jax.block_until_ready(compiled(x))
            times.append(clock() - start)
        return max(min(times), 1e-9)

    def product(side: int) -> float:
        return 2.0 * side**3 / best(lambda a: a @ a, jax.device_put(np.ones((side, side), np.float32), device), 10)

    return {
        "flops": max(map(product, sides)),
        "bytes": 8.0 * length / best(lambda a: a + 1, long, 5),
        "launch_seconds": best(lambda a: a + 1, one, 50),
    }


def multiply_add_peak(clock: Clock, rounds: int = 2_000_000, tries: int = 20) -> float:
    """Return the FLOP/s of a loop of fused multiply-adds in native code on all cores at once, the best of some tries.

    No float32 program is faster on a CPU; 0 without a compiler (`fdl.models.kernels.native.library`).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rates = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(tries):
            start = clock()
            work = sum(pool.map(library.multiply_add, [rounds] * cores))
            rates.append(work / max(clock() - start, 1e-9))
    return max(rates)


def peak_memory(executor: Executor) -> int:
    """Return the peak bytes in use so far: of the device if it reports them, else of this process."""
    stats = executor.devices[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
