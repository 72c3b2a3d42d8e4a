"""Free memory, and glibc's handling of what XLA:CPU frees."""

import ctypes
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def free(device: "jax.Device") -> int:
    """Return the free bytes of a device's memory, or for the CPU those that the host grants this process."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        result: int = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        return result
    return max(min(_free_on_host()), 0) + allocator_free_bytes()


def _free_on_host() -> Iterator[int]:
    try:
        info = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        yield 1024 * sum(int(info[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")  # of the container, as seen from inside
    try:
        granted, held = (group / "memory.max").read_text(), (group / "memory.stat").read_text()
        yield int(granted) - int(dict(line.split() for line in held.splitlines())["anon"])
    except (OSError, KeyError, ValueError):  # none, or "max"
        pass


class _Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def allocator_free_bytes() -> int:
    """Return the free bytes inside glibc's allocator, which it reuses; 0 where unknown (before glibc 2.33)."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = _Mallinfo
    result: int = mallinfo2().fordblks
    return result


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory, before JAX has devices; return whether that was done (only with glibc).

    XLA:CPU allocates its temporaries in every call. By default glibc obtains large ones from the kernel by mmap and
    returns them each time, and the kernel zeroes every page again. Now the process keeps its peak memory.
    The settings hold for the main thread's arena only, so calls must run in the thread that makes them: asynchronous
    dispatch is switched off.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)  # JAX reads no environment variable for it
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
