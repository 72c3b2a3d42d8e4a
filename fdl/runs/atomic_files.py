"""Atomic files: written whole or not at all, fsynced, and renamed before deletion."""

import errno
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, TextIO

from fdl.core.errors import UserError


def write_text(file: Path, text: str) -> None:
    """Write a file atomically and durably: readers see the old or the new content, also after power loss."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as new:
        new.write(text)


@contextmanager
def whole(file: Path) -> Iterator[TextIO]:
    """Open a text file under a temporary name; it is renamed, replacing an older one, once all of it is on disk."""
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        with (
            naming(file),
            draft.open("x", encoding="utf-8", newline="") as new,
        ):  # "x": never write through an existing symlink
            yield new
        flush(draft)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush(file.parent)


def flush(path: Path) -> None:
    """fsync a file, or a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle, path)
    finally:
        os.close(handle)


def sync(handle: int, path: Path) -> None:
    """fsync an open handle; file systems that do not support it for folders are tolerated."""
    try:
        with naming(path):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file name to an OSError that lacks it, such as those of writing to an open file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def free(path: Path) -> None:
    """Delete a path by renaming it first, so that no half-deleted folder has its name."""
    if path.exists() or path.is_symlink():
        aside = path.with_name(f".removing-{path.name}")
        delete(aside)
        try:
            path.rename(aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            aside = path  # overlay file systems cannot rename folders of lower layers
        delete(aside)


def delete_until_gone(folder: Path) -> None:
    """Delete a folder that threads of others may make anew: TensorStore's outlive a failure of Orbax."""
    gone = 0
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        gone = 0 if folder.exists() else gone + 1
        if gone == 20:
            return
        time.sleep(0.05)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Write JSON atomically; see `json_text`."""
    write_text(file, json_text(value, indent=1))


def json_text(value: Any, **how: Any) -> str:
    """Return a value as JSON, with null for non-finite numbers, which JSON does not have."""
    return json.dumps(finite(value), default=lambda scalar: finite(float(scalar)), allow_nan=False, **how)


def finite(value: Any, instead: Callable[[float], Any] = lambda _: None) -> Any:
    """Return a value of JSON's types with each non-finite number replaced by `instead(number)`."""
    if isinstance(value, Real) and not isinstance(value, int):  # NumPy's floats, too
        return value if math.isfinite(value) else instead(float(value))
    if isinstance(value, Mapping):
        return {key: finite(part, instead) for key, part in value.items()}
    return [finite(part, instead) for part in value] if isinstance(value, list | tuple) else value


def read_json(file: Path) -> Any:
    """Read JSON; raise a ValueError that names the file if it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error})") from None
