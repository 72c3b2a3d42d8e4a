"""Files that stand where the one that was wanted should: pointers of Git LFS, and web pages that say so."""

from pathlib import Path

from fdl.core.errors import UserError

_HEAD = 256  # bytes
_POINTER = b"version https://git-lfs.github.com"
_PAGES = (b"<!doctype html", b"<html")


def refuse_pointer(path: Path) -> None:
    """Raise a UserError where a file is a pointer of Git LFS, which a clone without it leaves."""
    if _head(path).startswith(_POINTER):
        raise UserError(f"{path} is a pointer of Git LFS, not the file; get it with: git lfs pull")


def refuse_page(path: Path) -> None:
    """Raise a UserError where a file is a web page, as a download that asked for a login or was not there leaves."""
    if _head(path).lstrip().lower().startswith(_PAGES):
        raise UserError(
            f"{path} is a web page (HTML), no table; open it to see what it says, and download the file again"
        )


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_HEAD)
