"""The files under one address of an object store, by their names from there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fdl.core.errors import Fault, UserError, brief
from fdl.core.object_store import EXTRAS, cause, filesystem, request


def is_address(path: Path | str) -> bool:
    """Return whether a path is an address on a store that run folders may live on."""
    return re.match(rf"({'|'.join(EXTRAS)})://", str(path)) is not None


class Missing(Fault):
    """A file, or the bucket, is not on the store: another machine may have removed it meanwhile."""


class Store:
    """The files under an address such as s3://bucket/runs/a, by their names from there.

    flag: the flag that gave the address.

    Every failure is one line: a UserError while it is opened (library, credentials, bucket), a Fault afterwards.
    """

    def __init__(self, address: str, flag: str = "workdir"):
        scheme, _, rest = address.partition("://")
        self.address, self.root = address.rstrip("/"), rest.strip("/")
        if not all((*self.root.partition("/"), "//" not in self.root)):
            raise UserError(f"--{flag}={address} lacks a bucket or a folder in it; write {scheme}://BUCKET/FOLDER")
        try:
            self.files = filesystem(scheme)
        except ImportError as error:
            needed = f"{error.name or brief(error)}; pip install 'fdl[{EXTRAS[scheme]}]'"
            raise UserError(f"--{flag}={address} needs {needed}") from None
        try:
            with suppress(FileNotFoundError):
                self._request("find", self.root)
            if not self._request("exists", self.root.partition("/")[0]):
                raise FileNotFoundError("there is no such bucket")
        except Exception as error:  # botocore's and aiohttp's, which share no base
            raise UserError(
                f"--{flag}={address} cannot be reached: {cause(error)}; check the credentials and the bucket"
            ) from None

    def names(self, under: str = "") -> list[str]:
        """Return the names of all files, in order; under: of those in this folder."""
        with self.naming():
            try:
                found = self._request("find", f"{self.root}/{under}".rstrip("/"))
            except FileNotFoundError:
                found = []
            names = (name[len(self.root) + 1 :] for name in found if name != self.root)
            return sorted(name for name in names if not {"", ".."} & set(name.split("/")))  # they lead out of a folder

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Missing where there is none."""
        with self.naming():
            content: bytes = self._request("cat_file", f"{self.root}/{name}")
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, whole or not at all."""
        with self.naming():
            self._request("pipe_file", f"{self.root}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet by a conditional put; return whether its content is now this one."""
        with self.naming():
            try:
                self._request("pipe_file", f"{self.root}/{name}", content, mode="create")
            except FileExistsError:  # also of a put whose answer was lost and that was sent again
                return self.read(name) == content
        return True

    def upload(self, file: Path, name: str) -> None:
        """Copy a local file to the store, whole or not at all."""
        with self.naming():
            self._request("put_file", str(file), f"{self.root}/{name}", size=file.stat().st_size)

    def download(self, name: str, file: Path) -> None:
        """Copy a file from the store, whole or not at all; raise Missing where there is none."""
        with self.naming():
            size = self._request("info", f"{self.root}/{name}")["size"]
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f".{file.name}.draft")
            self._request("get_file", f"{self.root}/{name}", str(draft), size=size)
            draft.replace(file)

    def delete(self, name: str) -> None:
        """Delete a file; one that is gone already is no failure."""
        with self.naming(), suppress(FileNotFoundError):
            self._request("rm_file", f"{self.root}/{name}")

    def _request(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return request(self.files, method, *args, **kwargs)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Raise a Fault with the address for whatever the library raises after its own retries."""
        try:
            yield
        except (UserError, Fault):
            raise
        except FileNotFoundError as error:
            raise Missing(f"{self.address}: {brief(error)} is not there (any more)") from error
        except Exception as error:
            raise Fault(
                f"{self.address}: {cause(error)}; run the same command when the store can be reached"
            ) from error
