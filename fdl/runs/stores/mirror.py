"""A local working folder of a run on an object store, which is the truth: fetched at the start, written through.

Step 8, saved by the owner with lease 3, is `checkpoints/8-000003/` on the store. Its `meta.json`, which holds the
digest of every other file, is its commit object: it is uploaded last and deleted first, so a step that is listed is
whole. Of several with one step that of the newest owner counts. The log and the other small files go before it, each as
`.owners/000003/NAME` and as NAME: the first is read, by what the second lists, since a request of an owner that was
overtaken may still replace the second.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import Damaged, Fault, Stopped, UserError
from fdl.core.log import Log, name_folder, silent
from fdl.core.object_store import cause
from fdl.runs import lock
from fdl.runs.atomic_files import delete
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.store import Missing, Store

RESULTS = ("evaluation.json", "predictions-", "model.")  # how the names of what reading modes write begin
REPORT = "report.json"
OWNED = re.compile(r"\.owners/([0-9]+)/(.+)")
STEP = re.compile(r"checkpoints/(0|[1-9][0-9]*)(?:-([0-9]+))?/(.+)")
ELSEWHERE = re.compile(r"/\.|/checkpoints/[0-9]+-")  # hidden files, and checkpoints of other runs below an address


class Commit(NamedTuple):
    """A whole step on the store: the lease it was written under, 0 of a folder that was copied there, and meta.json."""

    number: int
    content: bytes


class Mirror:
    """A working folder and the store that it is written through to.

    held: its lease; None of a reader, which writes no checkpoint.
    """

    def __init__(self, store: Store, folder: Path, log: Log = silent, held: lease.Lease | None = None):
        self.store, self.folder, self.log, self.held = store, folder, log, held
        self._seen: dict[str, tuple[int, int]] = {}  # small file -> its time and size when the store had the same
        self._owned: dict[str, str] = {}  # small file -> its name under its owner's number
        self._commits: dict[int, Commit] = {}  # of the steps on the store

    def pull(self) -> None:
        """Make the working folder what the store holds; steps that are here already and sound are not fetched."""
        for _ in range(20):
            with suppress(Missing):  # a run under way has removed an old step meanwhile
                return self._pull()
        raise Fault(f"{self.store.address} changes faster than it can be read; run the same command again")

    def _pull(self) -> None:
        names = self.store.names()
        self._commits = {
            step: Commit(number, self.store.read(f"{step_on_store(step, number)}/meta.json"))
            for step, number in newest_commits(names).items()
        }
        here = {step for step, commit in self._commits.items() if self._is_here(step, commit.content)}
        wanted = {(step, commit.number) for step, commit in self._commits.items() if step not in here}
        small = small_files(names)
        self._owned = {name: there for name, there in small.items() if there != name}
        self._drop_what_the_store_lacks(here, small)
        for name in sorted(names, key=_commits_last):
            if name in small:
                self.store.download(small[name], self.folder / name)
                self._seen[name] = _stamp(self.folder / name)
            elif (key := _step_of(name)) in wanted:
                local = self.folder / step_on_store(key[0], 0)
                self.store.download(name, local / name.removeprefix(f"{step_on_store(*key)}/"))

    def _is_here(self, step: int, content: bytes) -> bool:
        """Return whether the working folder holds a step with this commit, and sound."""
        checkpoints = Checkpoints(self.folder / "checkpoints")
        try:
            file = checkpoints.folder / str(step) / "meta.json"
            if not file.is_file() or file.read_bytes() != content:
                return False
            checkpoints.verify(step)
        except Damaged:
            return False
        return True

    def _drop_what_the_store_lacks(self, steps: Collection[int], small: Collection[str]) -> None:
        """Delete every file here but these steps and small files, and those whose names begin with a dot."""
        for path in self.folder.glob("checkpoints/*"):
            if not path.name.startswith((".", "ended-")) and path.name not in map(str, steps):
                delete(path)
        for name, file in self._small_files().items():
            if name not in small:
                file.unlink()
        for path in sorted((path for path in self.folder.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):  # not empty
                path.rmdir()

    def _small_files(self) -> dict[str, Path]:
        files = (file for file in self.folder.rglob("*") if file.is_file())
        names = {str(file.relative_to(self.folder)): file for file in files}
        return {name: names[name] for name in sorted(names, key=_run_first) if is_small(name)}

    def push(self) -> None:
        """Upload what has changed: small files, then new steps, each with its commit last; then drop old steps.

        The report, by which a run is finished, is last of all. Raises a Fault where the store cannot be reached, or
        another run has taken the folder.
        """
        assert self.held is not None
        self.held.renew()
        small = self._small_files()
        report = {name: small.pop(name) for name in (REPORT,) if name in small}
        gone = self._seen.keys() - small.keys() - report.keys()
        self._delete([*gone, *(self._owned.pop(name) for name in gone & self._owned.keys())])
        self._push_small_files(small)
        names = self.store.names("checkpoints")
        there = newest_commits(names)
        kept = set()
        for step in Checkpoints(self.folder / "checkpoints").steps():
            content = (self.folder / "checkpoints" / str(step) / "meta.json").read_bytes()
            commit = self._commits.get(step)
            if commit is None or commit.content != content or there.get(step) != commit.number:
                self._push_step(step, content, names)
            kept.add((step, self._commits[step].number))
        self._delete(name for name in names if _step_of(name) and _step_of(name) not in kept)
        self._commits = {step: self._commits[step] for step, _ in kept}
        self._push_small_files(report)
        self.held.renew()

    def publish(self) -> None:
        """Push a save; a store that cannot be reached is logged and tried again at the next one, training goes on."""
        assert self.held is not None
        try:
            self.push()
        except Fault as fault:
            self.held.check()
            why = cause(fault.__cause__) if isinstance(fault.__cause__, Exception) else fault
            self.log(f"warning: the last save is not on the store yet: {why}; the next one makes up for it")

    def _push_small_files(self, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            with suppress(FileNotFoundError):  # removed meanwhile
                if self._seen.get(name) != (stamp := _stamp(file)):
                    self._push_small_file(file, name)
                    self._seen[name] = stamp

    def _push_small_file(self, file: Path, name: str) -> None:
        """Upload a small file under this owner's number, then by its name, and drop what the owner before had of it."""
        assert self.held is not None
        owned = f".owners/{self.held.number:06d}/{name}"
        before = self._owned.get(name, owned)
        for there in (owned, name):
            self._upload(file, there)
        self._owned[name] = owned
        if before != owned:
            self._delete([before])

    def _push_step(self, step: int, content: bytes, names: Collection[str]) -> None:
        """Upload a step under this owner's number, the commit last."""
        assert self.held is not None
        key = step, self.held.number
        self._delete([name for name in names if _step_of(name) == key])  # of a push that was interrupted
        local, remote = self.folder / "checkpoints" / str(step), step_on_store(*key)
        for file in sorted(local.rglob("*"), key=lambda file: _commits_last(file.name)):
            if file.is_file():
                self._upload(file, f"{remote}/{file.relative_to(local)}")
        self._commits[step] = Commit(self.held.number, content)

    def _upload(self, file: Path, name: str) -> None:
        assert self.held is not None
        self.held.confirm()
        self.store.upload(file, name)

    def _delete(self, names: Iterable[str]) -> None:
        """Delete files, commits first; those of steps of a newer owner never."""
        assert self.held is not None
        for name in sorted(names, key=lambda name: not _commits_last(name)[0]):
            if (step := _step_of(name)) is None or step[1] <= self.held.number:
                self.held.confirm()
                self.store.delete(name)
                self._seen.pop(name, None)


def newest_commits(names: Iterable[str]) -> dict[int, int]:
    """Return the steps that are whole among the names of a store, each with its newest owner's number."""
    found = (STEP.fullmatch(name) for name in names)
    commits = sorted((int(step[1]), int(step[2] or 0)) for step in found if step and step[3] == "meta.json")
    return dict(commits)


def small_files(names: Collection[str]) -> dict[str, str]:
    """Return the small files among the names of a store, each with the name to read: that of its newest owner."""
    found = {name: name for name in names if is_small(name)}
    owned = sorted((int(each[1]), each[2], each[0]) for each in map(OWNED.fullmatch, names) if each)
    return found | {name: there for _, name, there in owned if name in found}


def step_on_store(step: int, number: int) -> str:
    """Return the folder of a step that was saved under the lease with this number; 0: one that was copied there."""
    return f"checkpoints/{step}-{number:06d}" if number else f"checkpoints/{step}"


def is_small(name: str) -> bool:
    """Return whether a file is on the store what it is in the folder, and is of no checkpoint that is listed."""
    if name.startswith("checkpoints/"):
        return name.startswith("checkpoints/ended-")
    return not ELSEWHERE.search(f"/{name}") and not name.endswith(".draft")


def _step_of(name: str) -> tuple[int, int] | None:
    found = STEP.fullmatch(name)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _run_first(name: str) -> tuple[bool, tuple[bool, str]]:
    """Order the names of small files: without `experiment.json` a folder that is not empty is no run's."""
    return name != "experiment.json", _commits_last(name)


def _commits_last(name: str) -> tuple[bool, str]:
    return name.endswith("meta.json"), name


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def working_folder(address: str, kind: str = "runs") -> Path:
    """Return the folder in the cache that stands for an address; kind: "runs" of the owner, "read" of readers."""
    cache = cache_folder()
    if cache is None:
        raise UserError(f"--workdir={address} needs a local working folder and there is no cache; set FDL_CACHE")
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", address.partition("://")[2])[-80:]
    folder = cache / "stores" / kind / f"{name}-{hashlib.sha256(address.rstrip('/').encode()).hexdigest()[:16]}"
    name_folder(folder, address.rstrip("/"))
    return folder


def fetched(address: str, flag: str = "workdir") -> Path:
    """Return a local folder that holds what the run at an address, which a flag gave, holds now; for reading it."""
    store, folder = Store(address, flag), working_folder(address, "read")
    with lock.hold(folder, patience=600):
        Mirror(store, folder).pull()
    return folder


def put_results(address: str, folder: Path, since: float) -> None:
    """Upload what a mode that reads a run wrote into its fetched folder.

    since: when the mode began; what is older was fetched.
    """
    store = Store(address)
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.name.startswith(RESULTS) and file.stat().st_mtime >= since:
            store.upload(file, file.name)


@contextmanager
def written_through(address: str, folder: Path, log: Callable[[str], None]) -> Iterator[Mirror]:
    """Hold an address, fetch it into a locked working folder, and write what changed back at the end.

    After a fault what can still be written is; a run that was refused leaves nothing. After a stop all must be.
    """
    store = Store(address)
    log(f"run folder {store.address}, by way of {'/'.join(folder.parts[-3:])} in the cache")
    with lease.hold(store, folder, log) as held:
        mirror = Mirror(store, folder, log, held)
        mirror.pull()
        try:
            yield mirror
        except Fault:
            with suppress(Fault):
                mirror.push()
            raise
        except Stopped:
            mirror.push()
            raise
        mirror.push()
