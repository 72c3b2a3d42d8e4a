"""Memory: what the allocator is told, it does."""

import platform
import subprocess
import sys

import pytest

CHURN = """
import ctypes, resource, sys
from fdl import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
size, before = 64 << 20, 0
for turn in range(4):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(ctypes.c_size_t(size))
    ctypes.memset(block, 1, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> int:
    run = subprocess.run([sys.executable, "-c", CHURN, word], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step():
    assert faults("keep") * 10 < faults("give back")


def test_another_libc_is_left_alone(monkeypatch):
    from fdl import memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not memory.keep_freed()
