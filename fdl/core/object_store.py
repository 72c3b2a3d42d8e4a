"""Files on object stores, reached by fsspec: s3:// by s3fs, gs:// by gcsfs. Every request comes to an end.

Another store joins `EXTRAS` once its conditional put was tested against a server.
"""

import importlib
from typing import Any

from fdl.core.errors import brief

EXTRAS = {"s3": "s3", "gs": "gcs"}  # scheme -> the extra that installs its library
PATIENCE, RATE = 20.0, 100_000  # a request is given up after so many seconds, and one more for so many bytes


def filesystem(scheme: str) -> Any:
    """Return a file system of its own, which outlives no fork and sees at once what other machines write."""
    # The class that gcsfs gives by name asks for the kind of a bucket by gRPC, which no emulator answers.
    module, name = {"s3": ("s3fs", "S3FileSystem"), "gs": ("gcsfs.core", "GCSFileSystem")}[scheme]
    return getattr(importlib.import_module(module), name)(use_listings_cache=False, skip_instance_cache=True)


def request(files: Any, method: str, *args: Any, size: int = 0, **kwargs: Any) -> Any:
    """Call an asynchronous method of a file system and wait for it; size: the bytes that it transfers.

    The library repeats a request whose connection fails; all its tries together end after `PATIENCE`. A server that
    answers byte by byte resets the library's own timeouts, which are of one read.
    """
    from fsspec.asyn import sync

    return sync(files.loop, getattr(files, f"_{method}"), *args, timeout=PATIENCE + size / RATE, **kwargs)


def cause(error: BaseException) -> str:
    """Return what a store's library said, with the kind of error."""
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE:g} s and one more for each {RATE // 1000} kB"
    return f"{type(error).__name__}: {brief(error)}"
