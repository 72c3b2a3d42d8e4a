"""A local copy of what lies at an address: made once, made again when it changes there, and within a bound.

`$FDL_CACHE/remote/KEY/FOLDER/` holds the files by their names, so that they are read as any local files are, and
`KEY/index.json` what the address said of each. A process holds a lock on the copies that it reads; of the others those
go that were used least recently, where room is needed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import Fault, UserError
from fdl.core.log import name_folder
from fdl.core.object_store import request
from fdl.data.fingerprint import SOON
from fdl.data.readers.remote.address import check_address, expanded, names_of
from fdl.data.readers.remote.transfer import TRIES, Listed, answered, cause, fetch, filesystem, listed, refusal, tag

BOUND = "FDL_REMOTE_CACHE_GB"  # the variable that says how many 10^9 bytes of copies are kept
BOUND_GB = 100.0
_INDEX, _DRAFT = "index.json", ".draft"

_held: dict[Path, int] = {}  # locks of this process, by folder


@dataclass(frozen=True)
class Copy:
    """A local copy.

    path: the file or folder to read. note: what was done, in a line.
    digest: of the content, where a reader would look at names and sizes alone; "" where it reads all.
    """

    path: Path
    digest: str
    note: str


def local_copy(address: str) -> Copy:
    """Return the local copy of the files at an address, brought up to date; raise a UserError where there are none.

    address: of a file, `{0..3}` for several, or of a folder on a store. Where the address does not answer, a whole copy
    of before is taken, which the note says.
    """
    scheme = check_address(address)
    address = f"{scheme}://{address.partition('://')[2]}"
    with held(address) as home:
        index = read_index(home / _INDEX)
        try:
            files = filesystem(scheme, address)
            there = listed(files, address, expanded(address))
        except (UserError, Fault):
            raise
        except Exception as error:  # the library's own, of many kinds
            if not _is_whole(home, index) or answered(error):
                raise refusal(address, error) from None
            note = f"{address} does not answer ({cause(error, address)}); its copy of {index['made']} is read"
            return _copy(home, index, note)
        tags = {name: info[1:] for name, info in there.items()}
        if _is_whole(home, index) and index["tags"] == json.loads(json.dumps(tags)):
            return _copy(home, index, f"{address} is unchanged since {index['made']}; its copy is read")
        changed = "it has changed there and " if _is_whole(home, index) else ""
        size = sum(info[1] or 0 for info in there.values())
        note = make_room(size, home, address)
        index = _download(files, there, home, address)
        what = f"{_size(index['bytes'])} in {len(there)} file{'s' * (len(there) != 1)}"
        return _copy(home, index, f"{address}: {changed}{what} are copied to {home}{note}")


@contextmanager
def held(address: str) -> Iterator[Path]:
    """Give the folder of an address in the cache; it is locked for reading as long as this process lives."""
    root = cache_folder()
    if root is None:
        raise UserError(
            f"{address} is copied to be read, and this user has no home; set FDL_CACHE to a folder with room"
        )
    home = root / "remote" / hashlib.blake2b(address.encode(), digest_size=12).hexdigest()
    home.mkdir(parents=True, exist_ok=True)
    lock = _held.pop(home, None) or os.open(home, os.O_RDONLY)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield home
    finally:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        _held[home] = lock


def make_room(size: int, home: Path, address: str) -> str:
    """Remove copies that no process reads, the one used least recently first, until `size` more bytes are in bound.

    Returns how a line goes on that says that they are not, as processes read the rest; "" where they are. Raises a
    UserError where the disk has no room.
    """
    check_size(size, address)
    others = [folder for folder in home.parent.iterdir() if folder.is_dir() and folder != home]
    taken = {folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in others}
    for folder in sorted(others, key=lambda each: each.stat().st_mtime):
        if size <= min(_bound() - sum(taken.values()), shutil.disk_usage(home).free):
            break
        if _unused(folder):
            shutil.rmtree(folder, ignore_errors=True)
            del taken[folder]
    if size > (free := shutil.disk_usage(home).free):
        raise UserError(
            f"{address} holds {_size(size)}, and the disk of {home.parent} has {_size(free)} free; set FDL_CACHE to a "
            "folder with room, or give fewer files"
        )
    whole = sum(taken.values()) + size
    over = f"; copies take {_size(whole)} now, above {BOUND}={_bound() / 1e9:g}, as others are in use"
    return over if whole > _bound() else ""


def check_size(size: int, address: str) -> None:
    """Raise a UserError for a set that is larger than all copies may be."""
    if size > _bound():
        raise UserError(
            f"{address} holds {_size(size)}, and copies may take {_size(int(_bound()))} in all; set {BOUND} higher if "
            "the disk has room, or give fewer files"
        )


def _bound() -> float:
    text = os.environ.get(BOUND) or f"{BOUND_GB}"
    try:
        return float(text) * 1e9
    except ValueError:
        raise UserError(f"{BOUND}={text} is no number of GB; set it to one, such as {BOUND_GB:g}") from None


def _unused(folder: Path) -> bool:
    """Say whether no process reads a copy."""
    if folder in _held:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


# ── The copy ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _download(files: Any, there: Listed, home: Path, address: str) -> dict[str, Any]:
    """Copy all files and return the index; what was there of a copy before stays whole until this one is."""
    draft = home / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    folder = urlsplit(address).path.rstrip("/").rpartition("/")[0].rpartition("/")[2] or "files"
    if len(there) > 1 or next(iter(there)) not in address:
        folder = names_of([address])[0].split("{")[0].rstrip("-_.") or folder  # a folder is called by its name
    digest, total = hashlib.blake2b(digest_size=16), 0
    for name, (each, size, marked) in there.items():
        target = draft / folder / name
        if not target.resolve().is_relative_to(draft.resolve()):
            raise UserError(f"{address} holds a file {name!r}, which leads out of its folder; it is not copied")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fetch(files, each, target, size)
            now = request(files, "info", each)
        except Exception as error:
            raise Fault(
                f"{address}: {name} broke off {TRIES} times ({cause(error, address)}); run the same command again"
            ) from error
        if (now.get("size"), tag(now)) != (size, marked):
            raise Fault(f"{address}: {name} changed while it was copied; run the same command again")
        with target.open("rb") as file:
            digest.update(f"{name} ".encode() + hashlib.file_digest(file, "blake2b").digest())
        total += target.stat().st_size
    for old in [entry for entry in home.iterdir() if entry.name != _DRAFT]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    (draft / folder).rename(home / folder)
    shutil.rmtree(draft, ignore_errors=True)
    index = {
        "address": address,
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "path": folder if len(there) > 1 else f"{folder}/{next(iter(there))}",
        "tags": {name: info[1:] for name, info in there.items()},
        "digest": digest.hexdigest(),
        "bytes": total,
    }
    written = home / f"{_INDEX}{_DRAFT}"
    written.write_text(json.dumps(index), encoding="utf-8")
    written.replace(home / _INDEX)
    return index


def read_index(file: Path) -> dict[str, Any]:
    """Return what is kept of a copy beside it, nothing where that does not read."""
    try:
        index: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return index
    except (OSError, ValueError):
        return {}


def _is_whole(home: Path, index: dict[str, Any]) -> bool:
    """Say whether all files of an index are there in their size."""
    if not index:
        return False
    path = home / index["path"]
    files = [path] if len(index["tags"]) == 1 else [path / name for name in index["tags"]]
    return all(file.is_file() for file in files) and sum(file.stat().st_size for file in files) == index["bytes"]


def _copy(home: Path, index: dict[str, Any], note: str) -> Copy:
    os.utime(home)  # which copy was used last
    path = home / index["path"]
    name_folder(path, index["address"])
    return Copy(path, index["digest"] if index["bytes"] > SOON else "", note)


def _size(count: int) -> str:
    return (
        f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"
    )
