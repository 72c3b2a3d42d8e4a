"""A run in its folder: the folder is claimed and locked, and what trains in it may be stopped by a signal."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax

from fdl.parallel import processes
from fdl.runs import lock
from fdl.runs import workdir as run_folder
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.signals import Request, on_request


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run whose folder this process holds.

    workdir:  the run folder; of all but the first of several processes, one that nobody reads.
    request:  what a signal asked for. finished: the report, where the run ended earlier.
    log:      takes each line for the user. clock: seconds, for what is measured.
    at:       when it was opened, by the wall clock; begun: the same moment by `time.perf_counter`.
    """

    workdir: Path
    checkpoints: Checkpoints
    request: Request
    finished: dict[str, Any] | None
    log: Callable[[str], None]
    clock: Callable[[], float]
    at: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.perf_counter)


@contextmanager
def open_run(
    workdir: Path | str,
    identity: Mapping[str, Any],
    devices: tuple[jax.Device, ...],
    *,
    monitor: str,
    better: Literal["higher", "lower"] | None,
    finite: bool = True,
    log: Callable[[str], None],
    clock: Callable[[], float],
) -> Iterator[Run]:
    """Claim and lock a run folder, and give it back unclaimed where training fails before anything was saved.

    monitor, better, finite: of its checkpoints. Raises a ValueError where the folder belongs to another run.
    """
    folder = run_folder.local(workdir)
    processes.on_first_process(lambda: run_folder.refuse_stranger(folder, identity))
    with (
        processes.process_workdir(folder) as own,
        lock.hold(own, log=log) as held,
        on_request(processes.count()) as request,
    ):
        run_folder.claim(own, identity, devices, log)
        checkpoints = Checkpoints(
            own / "checkpoints",
            better,
            monitor=monitor,
            finite=finite,
            run=run_folder.digest(own),
            check_owner=held.check,
        )
        finished = processes.on_first_process(lambda: run_folder.finished(own, log))
        run = Run(workdir=own, checkpoints=checkpoints, request=request, finished=finished, log=log, clock=clock)
        if finished:
            yield run
            return
        try:
            with checkpoints:
                yield run
        except (ValueError, RuntimeError, MemoryError):
            if held.still():
                run_folder.disown(own)
            raise
