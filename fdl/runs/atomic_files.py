"""Files that survive: written whole or not at all, forced onto the disk, taken away under another name first."""

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, TextIO


def write_text(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one, and power loss keeps it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as new:
        new.write(text)


@contextmanager
def whole(file: Path) -> Iterator[TextIO]:
    """Open a text file that takes its name, and the place of an older one, when all of it is on the disk."""
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        with naming(file), draft.open("x", encoding="utf-8", newline="") as new:  # never through a link planted there
            yield new
        flush(draft)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush(file.parent)


def flush(path: Path) -> None:
    """Force a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle, path)
    finally:
        os.close(handle)


def sync(handle: int, path: Path) -> None:
    """Force what is open as `handle` onto the disk, where its file system knows how: some refuse it for folders."""
    try:
        with naming(path):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name its file, as those of writing to an open one do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def free(path: Path) -> None:
    """Take a name out of use at once, then delete what it named: nothing half-deleted ever bears the name."""
    if path.exists() or path.is_symlink():
        aside = path.with_name(f".removing-{path.name}")
        delete(aside)
        try:
            path.rename(aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            aside = path  # overlays of containers rename no folder that is older than they are
        delete(aside)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one; see `json_text`."""
    write_text(file, json_text(value, indent=1))


def json_text(value: Any, **how: Any) -> str:
    """Return a value as JSON: a number that is not finite is null, for NaN and Infinity are no JSON."""
    return json.dumps(finite(value), default=lambda scalar: finite(float(scalar)), allow_nan=False, **how)


def finite(value: Any, instead: Callable[[float], Any] = lambda _: None) -> Any:
    """Return a value of JSON's types in which something else stands for each number that is not finite."""
    if isinstance(value, Real) and not isinstance(value, int):  # NumPy's floats, too
        return value if math.isfinite(value) else instead(float(value))
    if isinstance(value, Mapping):
        return {key: finite(part, instead) for key, part in value.items()}
    return [finite(part, instead) for part in value] if isinstance(value, list | tuple) else value


def read_json(file: Path) -> Any:
    """Read JSON; raise a ValueError that names the file where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error})") from None
