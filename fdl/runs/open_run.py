"""Open a run: claim and lock its folder, and handle stop signals."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from fdl.core.log import Log, logger
from fdl.parallel import processes
from fdl.runs import lock
from fdl.runs import workdir as run_folder
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.signals import Request, on_request
from fdl.runs.stores.mirror import Mirror, working_folder, written_through
from fdl.runs.stores.store import is_address


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run whose folder this process has locked.

    workdir:  the run folder; a temporary folder in all processes but the first.
    request:  the stop request of a signal. finished: the report, if the run has finished before.
    log:      takes each line for the user. quiet: nothing is to be shown. clock: in seconds, for measurements.
    at:       the wall-clock time of opening; begun: the same moment by `time.perf_counter`, begun_cpu: by the process's
              processor time.
    """

    workdir: Path
    checkpoints: Checkpoints
    request: Request
    finished: dict[str, Any] | None
    log: Log
    quiet: bool
    clock: Callable[[], float]
    at: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.perf_counter)
    begun_cpu: float = field(default_factory=time.process_time)


def on_store(address: str, folder: Path, log: Callable[[str], None]) -> AbstractContextManager[Mirror | None]:
    """Return the context in which a working folder is written through to its address; "" is no address.

    Of several processes the first alone has the store.
    """
    return written_through(address, folder, log) if address and processes.first() else nullcontext()


def check_owner(held: lock.Held, mirror: Mirror | None) -> None:
    """Raise a Fault if the folder, or the address that it is written through to, is no longer held by this run."""
    held.check()
    if mirror and mirror.held:
        mirror.held.check()


class Existing(NamedTuple):
    """What becomes of a run that the folder holds already.

    goes_on: `report of a finished run -> whether it is to be trained further`.
    make_longer: takes the folder, which is held by then, and makes its run as long as the experiment where that can be.
    """

    goes_on: Callable[[Mapping[str, Any]], bool] = lambda report: False
    make_longer: Callable[[Path], None] = lambda folder: None


NOTHING_TO_DO = Existing()


@contextmanager
def open_run(
    workdir: Path | str,
    identity: Mapping[str, Any],
    devices: tuple[jax.Device, ...],
    *,
    make_checkpoints: Callable[..., Checkpoints],
    log: Log | None,
    clock: Callable[[], float],
    existing: Existing = NOTHING_TO_DO,
) -> Iterator[Run]:
    """Claim and lock a run folder; release the claim if training fails before anything was saved.

    make_checkpoints: `Checkpoints` with what chooses the best, still without its folder and owner.
    Raises a ValueError if the folder belongs to another run.
    """
    lines, address = logger(log), str(workdir) if is_address(workdir) else ""
    folder = working_folder(address) if address else run_folder.local(workdir)
    if not address:
        processes.on_first_process(lambda: _refuse_stranger(folder, identity))
    with (
        processes.process_workdir(folder) as local_workdir,
        lock.hold(local_workdir, log=lines) as held,
        on_store(address, local_workdir, lines) as mirror,
        on_request(processes.count()) as request,
    ):
        processes.on_first_process(lambda: existing.make_longer(local_workdir))
        run_folder.claim(local_workdir, identity, devices, lines)
        checkpoints = make_checkpoints(
            local_workdir / "checkpoints",
            run=run_folder.digest(local_workdir),
            check_owner=partial(check_owner, held, mirror),
        )
        if mirror:
            checkpoints.published = mirror.publish
        finished = processes.on_first_process(lambda: run_folder.finished(local_workdir, lines, existing.goes_on))
        run = Run(
            workdir=local_workdir,
            checkpoints=checkpoints,
            request=request,
            finished=finished,
            log=lines,
            quiet=log is None,
            clock=clock,
        )
        if finished:
            yield run
            return
        try:
            with checkpoints:
                yield run
        except (ValueError, RuntimeError, MemoryError):
            if held.still():
                run_folder.disown(local_workdir)
            raise


def _refuse_stranger(folder: Path, identity: Mapping[str, Any]) -> None:
    """Raise a ValueError, before anything is made there, if a folder holds neither this run nor a shorter one of it."""
    if not run_folder.longer(folder, identity):
        run_folder.refuse_stranger(folder, identity)
