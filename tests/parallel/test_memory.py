"""Memory: what the allocator is told, it does."""

import gc
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core.types import TrainState

CHURN = """
import resource, sys
from fdl.parallel import jax_startup
jax_startup.prepare_jax({"accelerator": "cpu", "keep_memory": sys.argv[1] == "keep"}, None)
import jax
program = jax.jit(lambda x: jax.numpy.sin(x) @ x[:, :8])
x = jax.numpy.ones((4096, 4096))
for turn in range(12):
    if turn == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    program(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> int:
    """Return the pages that the kernel gave to eight calls of a program with 64 MiB of temporaries."""
    run = subprocess.run([sys.executable, "-c", CHURN, word], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step():
    assert faults("keep") * 3 < faults("give back")


def test_another_libc_is_left_alone(monkeypatch):
    from fdl.parallel import memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not memory.keep_freed_memory()


def test_saving_leaves_nothing_behind_in_memory(tmp_path):
    """TensorStore loses four strings whenever it is asked for a spec, as Orbax asks it for every leaf."""
    from fdl.runs.checkpoints.manager import Checkpoints

    names = [f"layer_{i}" for i in range(100)]
    state = TrainState(jnp.int32(0), {name: np.ones(1, np.float32) for name in names}, (), {}, jax.random.key(0))
    checkpoints, held = Checkpoints(tmp_path), []
    for step in range(12):
        checkpoints.save(state._replace(step=jnp.int32(step)), {})
        checkpoints.wait()
        gc.collect()
        held.append(sys.getallocatedblocks())
    assert held[-1] - held[3] < 4 * 8 * len(names) / 2
