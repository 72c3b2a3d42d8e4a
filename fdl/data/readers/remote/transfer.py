"""What lies at an address: its files with their sizes and tags, and their bytes, however often a connection breaks."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fdl.core import object_store
from fdl.core.errors import UserError, brief
from fdl.core.object_store import request
from fdl.data.readers.remote.address import EXTRAS, files_of, masked, names_of

TRIES = 5  # without a byte between
_BLOCK, _WAIT = 2**23, 0.5  # bytes read together, and seconds before a second try
_TAGS = ("ETag", "Last-Modified", "LastModified", "mtime", "md5", "crc32c")  # what tells one content from another
_SILENT = 30.0  # seconds without an answer
_LISTING = 2**24  # bytes that the listing of a folder may take: of some 50,000 files

Listed = dict[str, tuple[str, int | None, str]]  # the name of a file -> its address, its bytes and its tag


def filesystem(scheme: str, address: str) -> Any:
    """Return fsspec's file system of a scheme; raise a UserError that names what to install where it is missing."""
    try:
        import fsspec

        if scheme in ("http", "https"):
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENT, sock_read=_SILENT)
            return fsspec.filesystem(scheme, use_listings_cache=False, client_kwargs={"timeout": timeout})
        return object_store.filesystem(scheme)
    except ImportError as error:
        raise UserError(f"{address} needs {brief(error)}; pip install 'fdl[{EXTRAS[scheme]}]'") from None


def listed(files: Any, address: str, whole: str) -> Listed:
    """Return the files at an address; raise what the library raises where it does not answer."""
    addresses = files_of(whole)
    if not whole.startswith("http") and len(addresses) == 1 and request(files, "isdir", whole):
        root = files._strip_protocol(whole).rstrip("/")  # what fsspec calls every name by
        every = request(files, "find", root, detail=True, size=_LISTING)
        found = {name[len(root) + 1 :]: info for name, info in every.items()}
        return {name: (info["name"], info.get("size"), tag(info)) for name, info in found.items() if name}
    infos = [request(files, "info", each) for each in addresses]
    names = names_of(addresses)
    if len(set(names)) < len(names):
        raise UserError(f"{address} names two files {names[0]}; give files of different names")
    return {name: (each, info.get("size"), tag(info)) for name, each, info in zip(names, addresses, infos, strict=True)}


def tag(info: Any) -> str:
    """Return what tells the content of a file from another of its size, "" where the other side says nothing."""
    return " ".join(f"{name}={info[name]}" for name in _TAGS if info.get(name))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def cause(error: Exception, address: str) -> str:
    """Return what an exception was raised from in the end, in one line without the values of variables."""
    if isinstance(error, TimeoutError):
        return object_store.cause(error)
    return masked(brief(list(_chain(error))[-1]), address)


def answered(error: Exception) -> bool:
    """Say whether the other side answered: fsspec says "not found" of a server that is not there, too."""
    causes = [each for each in _chain(error) if not isinstance(each, FileNotFoundError | PermissionError)]
    connection = any(isinstance(each, OSError) or "Connect" in type(each).__name__ for each in causes)
    return not connection and isinstance(error, FileNotFoundError | PermissionError)


def refusal(address: str, error: Exception) -> UserError:
    """Return the line for an address that cannot be read."""
    status = next(filter(None, (getattr(each, "status", 0) for each in _chain(error))), 0)
    if isinstance(error, PermissionError) or status in (401, 403):
        why = f"status {status}" if status else cause(error, address)
        return UserError(f"{address} may not be read ({why}); give credentials, or download it and give the file")
    if answered(error):
        return UserError(f"there is nothing at {address}; look at its spelling")
    return UserError(f"{address} cannot be read ({cause(error, address)}); try again, or download it and give the file")


def fetch(files: Any, address: str, target: Path, size: int | None) -> None:
    """Copy one file; a connection that breaks off is resumed there, or from the beginning where ranges are unknown."""
    ranges, at, tries = size is not None, 0, 0
    while True:
        try:
            with target.open("ab") as out:
                out.truncate(at)
                for block in _blocks(files, address, at, size, ranges):
                    out.write(block)
                    at, tries = at + len(block), 0 if ranges else tries
            if size is not None and at != size:
                raise OSError(f"it ended after {at:,} of {size:,} bytes")
            return
        except Exception as error:
            tries += 1
            if tries >= TRIES or isinstance(error, FileNotFoundError | PermissionError):
                raise
            ranges = ranges and not isinstance(error, ValueError)  # a server that sends all where a part is asked for
            at = min(at, size or 0) if ranges else 0
            time.sleep(_WAIT * 2 ** (tries - 1))


def _blocks(files: Any, address: str, at: int, size: int | None, ranges: bool) -> Iterator[bytes]:
    """Yield the bytes of a file from `at` on, a block at a time; the whole file where ranges are unknown."""
    if "http" in files.protocol:
        how = {"block_size": _BLOCK, "cache_type": "none"} if ranges else {"block_size": 0}
        with files.open(address, "rb", **how) as source:
            if at:
                source.seek(at)
            while block := source.read(_BLOCK):
                yield block
        return
    assert size is not None, "a store knows the size of its files"
    for start in range(at, size, _BLOCK):
        end = min(start + _BLOCK, size)
        yield request(files, "cat_file", address, start=start, end=end, size=end - start)
