"""Memory: how much of it is free, what glibc keeps of what XLA frees, and what TensorStore would never free."""

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
    """Return the bytes that are free where arrays of this device live: its own, or what the host grants us."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return max(min(_free_on_host()), 0) + kept()


def _free_on_host() -> Iterator[int]:
    try:
        info = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        yield 1024 * sum(int(info[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")  # of the container, seen from inside
    try:
        granted, held = (group / "memory.max").read_text(), (group / "memory.stat").read_text()
        yield int(granted) - int(dict(line.split() for line in held.splitlines())["anon"])
    except (OSError, KeyError, ValueError):  # none, or "max"
        pass


class _Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def kept() -> int:
    """Return the bytes that glibc keeps for the next step, 0 where nobody says (before glibc 2.33)."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = _Mallinfo
    return ask().fordblks


def keep_freed() -> bool:
    """Tell glibc to keep freed memory in this process, before JAX has devices; say whether that was done (glibc alone).

    XLA:CPU allocates its temporaries anew in every call. By default glibc takes the large ones from the kernel and
    gives them back each time, and the kernel zeroes every page again. What a process ever used it now keeps.
    The settings hold for the main thread's arena only, so a call must run in the thread that makes it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)  # JAX reads no environment variable for it
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
