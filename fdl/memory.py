"""Memory: glibc keeps what XLA frees, so that the next step need not fault the same pages in again."""

import ctypes
import os
import platform

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed() -> bool:
    """Tell glibc to keep freed memory in this process, before JAX starts; say whether that was done (glibc alone).

    XLA:CPU allocates its temporaries anew in every call. By default glibc takes the large ones from the kernel and
    gives them back each time, and the kernel zeroes every page again. What a process ever used it now keeps.
    The settings hold for the main thread's arena only, so a call must run in the thread that makes it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    os.environ.setdefault("JAX_CPU_ENABLE_ASYNC_DISPATCH", "false")
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
