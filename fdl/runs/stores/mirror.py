"""A local working folder of a run on an object store, which is the truth: fetched at the start, written through.

A checkpoint's `meta.json`, which holds the digest of every other file, is its commit object: it is uploaded last and
deleted first, so a step that is listed is whole. The log, the report and the other small files go before it.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import Damaged, Fault, Stopped, UserError
from fdl.runs.atomic_files import delete
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.stores import lease
from fdl.runs.stores.store import Store

RESULTS = ("evaluation.json", "predictions-", "model.")  # how the names of what reading modes write begin
COMMIT = re.compile(r"checkpoints/(0|[1-9][0-9]*)/meta\.json")


class Mirror:
    """A working folder and the store that it is written through to.

    held: its lease; raises a Fault where another run has taken it.
    """

    def __init__(self, store: Store, folder: Path, held: lease.Lease | None = None):
        self.store, self.folder, self.held = store, folder, held
        self._seen: dict[str, tuple[int, int]] = {}  # small file -> its time and size when it was uploaded
        self._commits: dict[str, bytes] = {}  # meta.json of a step -> its content on the store

    def pull(self) -> None:
        """Make the working folder what the store holds; steps that are here already and sound are not fetched."""
        names = self.store.names()
        self._commits = {name: self.store.read(name) for name in names if COMMIT.fullmatch(name)}
        steps = {name.rpartition("/")[0] for name in self._commits}
        whole = {step for step in steps if self._is_here(step)}

        for path in (*self.folder.glob("*"), *self.folder.glob("checkpoints/*")):
            if not path.name.startswith(".") and path.name != "checkpoints":
                relative = str(path.relative_to(self.folder))
                if relative not in whole:
                    delete(path)
        for name in sorted(names, key=_commits_last):
            step = "/".join(name.split("/")[:2])
            if not name.startswith((".", "checkpoints/")) or (step in steps and step not in whole):
                self.store.download(name, self.folder / name)

    def _is_here(self, step: str) -> bool:
        """Return whether the working folder holds the commit of a step that the store holds."""
        file = self.folder / step / "meta.json"
        try:
            if not file.is_file() or file.read_bytes() != self._commits[f"{step}/meta.json"]:
                return False
            Checkpoints(self.folder / "checkpoints").verify(int(file.parent.name))
        except Damaged:
            return False
        return True

    def push(self) -> None:
        """Upload what has changed: small files, then new steps, each with its commit last; then drop old steps."""
        self._push_small_files()
        here = {f"checkpoints/{step}/meta.json" for step in Checkpoints(self.folder / "checkpoints").steps()}
        for commit in sorted(here, key=lambda name: int(name.split("/")[1])):
            content = (self.folder / commit).read_bytes()
            if self._commits.get(commit) == content:
                continue
            self.store.delete([commit] if commit in self._commits else [])
            for file in sorted((self.folder / commit).parent.rglob("*")):
                if file.is_file() and str(file.relative_to(self.folder)) != commit:
                    self.store.upload(file, str(file.relative_to(self.folder)))
            self._check_lease()
            self.store.write(commit, content)
            self._commits[commit] = content
        kept = {commit.rpartition("/")[0] for commit in here}
        old = [name for name in self.store.names() if name.startswith("checkpoints/")]
        old = [name for name in old if "/".join(name.split("/")[:2]) not in kept]
        self.store.delete(sorted(old, key=lambda name: not COMMIT.fullmatch(name)))
        self._commits = {commit: content for commit, content in self._commits.items() if commit in here}

    def _push_small_files(self) -> None:
        files = (file for file in self.folder.rglob("*") if file.is_file())
        names = {str(file.relative_to(self.folder)): file for file in files}
        self._check_lease()
        for name in sorted(names, key=_commits_last):
            if name.startswith((".", "checkpoints/")) or names[name].name.endswith(".draft"):
                continue
            status = names[name].stat()
            if self._seen.get(name) != (stamp := (status.st_mtime_ns, status.st_size)):
                self.store.upload(names[name], name)
                self._seen[name] = stamp

    def _check_lease(self) -> None:
        if self.held:
            self.held.renew(0)


def _commits_last(name: str) -> tuple[bool, str]:
    return name.endswith("meta.json"), name


def working_folder(address: str, kind: str = "runs") -> Path:
    """Return the folder in the cache that stands for an address; kind: "runs" of the owner, "read" of readers."""
    cache = cache_folder()
    if cache is None:
        raise UserError(f"--workdir={address} needs a local working folder and there is no cache; set FDL_CACHE")
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", address.partition("://")[2])[-80:]
    return cache / "stores" / kind / f"{name}-{hashlib.sha256(address.rstrip('/').encode()).hexdigest()[:16]}"


def fetched(address: str) -> Path:
    """Return a local folder that holds what the run at an address holds now; for reading it."""
    folder = working_folder(address, "read")
    store = Store(address)
    folder.mkdir(parents=True, exist_ok=True)
    Mirror(store, folder).pull()
    return folder


def put_results(address: str, folder: Path) -> None:
    """Upload what a mode that reads a run wrote into its fetched folder: files at its top that the store lacks."""
    store = Store(address)
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.name.startswith(RESULTS):
            store.upload(file, file.name)


@contextmanager
def written_through(address: str, folder: Path, log: Callable[[str], None]) -> Iterator[Mirror]:
    """Hold an address, fetch it into a locked working folder, and write what changed back at the end.

    After a fault what can still be written is; a run that was refused leaves nothing.
    """
    store = Store(address)
    log(f"run folder {store.address}, by way of {folder}")
    with lease.hold(store, folder, log) as held:
        mirror = Mirror(store, folder, held)
        mirror.pull()
        try:
            yield mirror
        except (Stopped, Fault):
            with suppress(Fault):
                mirror.push()
            raise
        mirror.push()
