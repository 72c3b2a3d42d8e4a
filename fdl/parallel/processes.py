"""Multi-process runs by JAX's distributed runtime: which process logs and writes, and how all agree.

The first process owns the run folder: it reads checkpoints, writes records and broadcasts what it read; the others need
no shared file system. With one, each process writes its shards of a state that is split over processes
(`fdl.runs.checkpoints.shards`). In a single-process run these functions do nothing.
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
from jax._src.distributed import global_state  # of no public name, as in `heartbeat`
from jax.experimental import multihost_utils

from fdl.core.errors import Fault, UserError, reason
from fdl.core.types import PyTree
from fdl.parallel import heartbeat

# Seconds: JAX's own heartbeat is switched off, because its wall clock runs on while a job is suspended (`heartbeat`).
_NEVER = 10**6


def join(coordinator: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Join the other processes, before any other use of JAX. Only the first keeps writing to standard output.

    coordinator: host:port of the first process, the only address it listens on. count: number of processes.
    index: of this process. On SLURM, GKE, TPU pods and OpenMPI all three are detected.
    """
    given = {"coordinator": coordinator, "processes": count, "process": index}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise UserError(f"--distributed lacks {' and '.join(missing)}; give --coordinator, --processes and --process")
    if coordinator is not None and not re.fullmatch(r".+:[0-9]+", coordinator):
        raise UserError(f"--coordinator={coordinator} is not host:port; write it as 10.0.0.1:9911")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    failed: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(
                coordinator, count, index, coordinator_bind_address=coordinator, heartbeat_timeout_seconds=_NEVER
            )
        except Exception as error:
            failed.append(error)

    # In a thread: it may wait for the others for minutes, in which the main thread must handle signals.
    joining = threading.Thread(target=initialize, daemon=True)
    joining.start()
    joining.join()
    if failed and isinstance(failed[0], ValueError):
        raise UserError(
            f"--distributed finds no cluster here ({str(failed[0]).splitlines()[0]}); "
            "give --coordinator=host:port, --processes and --process"
        )
    if failed:
        raise failed[0]
    signal.signal(
        signal.SIGTERM, signal.getsignal(signal.SIGTERM)
    )  # JAX has replaced the handler by one that only records it
    heartbeat.start()
    if not first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the life of the process)


def count() -> int:
    """Return the number of processes."""
    result: int = jax.process_count()
    return result


def index() -> int:
    """Return the index of this process, from 0."""
    return jax.process_index()


def first() -> bool:
    """Return whether this is the first process, which logs and writes."""
    return index() == 0


@contextmanager
def process_workdir(folder: Path) -> Iterator[Path]:
    """Yield the run folder in the first process, and a temporary folder in every other one."""
    if first():
        yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="fdl-") as elsewhere:
            yield Path(elsewhere)


def on_first_process(action: Callable[[], Any]) -> Any:
    """Run `action` in the first process only; return its JSON result, or raise its ValueError, in all processes."""
    if count() == 1:
        return action()
    response: dict[str, Any] = {}
    if first():
        try:
            response = {"result": action()}
        except ValueError as error:
            response = {"error": str(error)}
    text = np.frombuffer(json.dumps(response).encode(), np.uint8)
    buffer = np.zeros(multihost_utils.broadcast_one_to_all(np.int32(len(text))), np.uint8)
    buffer[: len(text)] = text[: len(buffer)]
    response = json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(buffer))))
    if "error" in response:
        raise UserError(response["error"])
    return response["result"]


def all_or_raise(action: Callable[[], None]) -> None:
    """Run `action` in every process; if it fails in one, raise in all."""
    failed: Exception | None = None
    try:
        action()
    except Exception as error:
        failed = error
    if not all_agree(failed is None):
        raise failed or Fault("another process failed; its own error line says how")


def settle(name: str, action: Callable[[], None]) -> None:
    """Run `action` in every process; if it fails in one, raise in all: `all_or_raise` for threads beside training.

    No device takes part, whose collectives must come in one order: the processes meet in JAX's coordination service.
    name: of this meeting, the same in all processes and never used before.
    """
    if count() == 1:
        return action()
    failed: Exception | None = None
    try:
        action()
    except Exception as error:
        failed = error
    store: Any = global_state.client
    if failed is not None:
        store.key_value_set(f"{name}/failed/{index()}", reason(failed))
    store.wait_at_barrier(name, _NEVER * 1000)  # a process that is lost ends all (`heartbeat`)
    if failed is not None:
        raise failed
    if others := store.key_value_dir_get(f"{name}/failed/"):
        key, why = min(others)
        raise Fault(f"process {key.rpartition('/')[2]} failed: {why}")


def any_text(text: str) -> str:
    """Return the text of the first process that has one, "" where none has; at most some 500 characters."""
    if count() == 1:
        return text
    buffer = np.zeros(512, np.uint8)
    given = np.frombuffer(text.encode()[: len(buffer)], np.uint8)
    buffer[: len(given)] = given
    rows = multihost_utils.process_allgather(buffer)
    return next((bytes(row[row > 0]).decode("utf-8", "ignore") for row in rows if row.any()), "")


def broadcast_from_first(tree: PyTree, like: PyTree) -> PyTree:
    """Broadcast arrays from the first process to all; `like` gives their shapes to the others."""
    if count() == 1:
        return tree
    value = tree if first() else jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(value))


def fetch(tree: PyTree) -> PyTree:
    """Return a tree of NumPy arrays, gathered whole in every process."""
    if count() == 1:
        return jax.device_get(tree)

    def one(leaf: Any) -> Any:
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True) if is_split(leaf) else leaf)

    return jax.tree.map(one, tree)


def is_split(leaf: Any) -> bool:
    """Return whether a leaf is an array split over processes, of which none has the whole."""
    return isinstance(leaf, jax.Array) and not (leaf.is_fully_replicated or leaf.is_fully_addressable)


def all_agree(yes: bool) -> bool:
    """Return whether `yes` holds in every process."""
    return not maximum(int(not yes))


def maximum(number: int) -> int:
    """Return the maximum of `number` over the processes."""
    return number if count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())
