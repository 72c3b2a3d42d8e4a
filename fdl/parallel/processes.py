"""Several processes as one run, by JAX's own distributed runtime: who speaks, who writes, and how all agree.

The first process owns the run folder: it reads checkpoints, writes records and hands the others what it read; they need
no common file system. Where they have one, each writes its own part of a state that is split over them
(`fdl.runs.checkpoints.shards`). All of this is nothing in a run of one process.
"""

import json
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from fdl.core.errors import Fault
from fdl.core.types import PyTree
from fdl.parallel import heartbeat

_NEVER = 10**6  # seconds: JAX counts silence by the clock, which goes on while the whole job is frozen


def join(coordinator: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Join the other processes; before anything else of JAX. Only the first goes on speaking on standard output.

    coordinator: host:port of the first process, which listens there and on no other address. count: of processes.
    index: which of them this is. SLURM, GKE, TPU pods and OpenMPI tell all three by themselves.
    """
    given = {"coordinator": coordinator, "processes": count, "process": index}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ValueError(f"--distributed lacks {' and '.join(missing)}; give --coordinator, --processes and --process")
    if coordinator is not None and not re.fullmatch(r".+:[0-9]+", coordinator):
        raise ValueError(f"--coordinator={coordinator} is no host:port; write it as 10.0.0.1:9911")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    failed: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                coordinator, count, index, coordinator_bind_address=coordinator, heartbeat_timeout_seconds=_NEVER
            )
        except Exception as error:
            failed.append(error)

    # It may wait for the others for minutes, in which the main thread must be free to hear a signal.
    joining = threading.Thread(target=initialize, daemon=True)
    joining.start()
    joining.join()
    if failed and isinstance(failed[0], ValueError):
        raise ValueError(
            f"--distributed finds no cluster here ({str(failed[0]).splitlines()[0]}); "
            "give --coordinator=host:port, --processes and --process"
        )
    if failed:
        raise failed[0]
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # JAX has just taken it, and would only note it
    heartbeat.begin()
    if not first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the life of the process)


def count() -> int:
    """Return how many processes there are."""
    return jax.process_count()


def index() -> int:
    """Return which process this is, from 0."""
    return jax.process_index()


def first() -> bool:
    """Say whether this is the process that speaks and writes."""
    return index() == 0


@contextmanager
def own(folder: Path) -> Iterator[Path]:
    """Give the first process the run folder, and every other one of its own that nobody will read."""
    if first():
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="fdl-") as elsewhere:
            yield Path(elsewhere)


def by_first(action: Callable[[], Any]) -> Any:
    """Do something in the first process alone and return its result, of JSON's types, in all; a ValueError likewise."""
    if count() == 1:
        return action()
    told: dict[str, Any] = {}
    if first():
        try:
            told = {"result": action()}
        except ValueError as error:
            told = {"error": str(error)}
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    buffer = np.zeros(multihost_utils.broadcast_one_to_all(np.int32(len(text))), np.uint8)
    buffer[: len(text)] = text[: len(buffer)]
    told = json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(buffer))))
    if "error" in told:
        raise ValueError(told["error"])
    return told["result"]


def together(action: Callable[[], None]) -> None:
    """Do something in every process; where it fails in one, raise in all."""
    failed: Exception | None = None
    try:
        action()
    except Exception as error:
        failed = error
    if not agreed(failed is None):
        raise failed or Fault("another process failed; its own words say how")


def from_first(tree: PyTree, like: PyTree) -> PyTree:
    """Return in every process the arrays that the first has; `like` gives their shapes to the others."""
    if count() == 1:
        return tree
    mine = tree if first() else jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(mine))


def fetch(tree: PyTree) -> PyTree:
    """Return a tree on the host, whole in every process, however it is split over them."""
    if count() == 1:
        return jax.device_get(tree)

    def one(leaf: Any) -> Any:
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True) if split(leaf) else leaf)

    return jax.tree.map(one, tree)


def split(leaf: Any) -> bool:
    """Say whether a leaf is an array of which no process has the whole."""
    return isinstance(leaf, jax.Array) and not (leaf.is_fully_replicated or leaf.is_fully_addressable)


def agreed(yes: bool) -> bool:
    """Say whether every process says yes."""
    return not largest(int(not yes))


def largest(number: int) -> int:
    """Return the largest of the numbers that the processes give."""
    return number if count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())
