"""What an address of data is: its scheme, the files that it names, and what must not be written down of it."""

import os
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from fdl.core import object_store
from fdl.core.errors import UserError

EXTRAS = {"http": "remote", "https": "remote", **object_store.EXTRAS}  # scheme -> the extra that installs its library
HUB = "hf:"
_SECRETS = re.compile(r"(^|[-_])(sig|signature|token|key|apikey|secret|password|credential)s?($|[-_])", re.IGNORECASE)
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_address(dataset: str) -> bool:
    """Say whether a dataset is named by an address, or by its name on the Hub, and not by a path or a TFDS name.

    >>> is_address("https://example.org/a.csv"), is_address("hf:stanfordnlp/imdb"), is_address("C:/a.csv")
    (True, True, False)
    """
    return dataset.startswith(HUB) or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", dataset) is not None


def is_hub(dataset: str) -> bool:
    """Say whether a dataset is named as the Hub does, hf:NAME."""
    return dataset.startswith(HUB) and "://" not in dataset


def check_address(address: str) -> str:
    """Return the scheme of an address; raise a UserError where it is unknown, or would write down a secret."""
    scheme = address.partition("://")[0].lower()
    if scheme not in EXTRAS:
        ways = {"hf": "write hf:NAME, as in hf:stanfordnlp/imdb", "file": f"give {address.partition('://')[2]}"}
        known = ", ".join(f"{name}://" for name in EXTRAS)
        way = ways.get(scheme, f"give {known}, hf:NAME, or copy the files here and give their folder")
        raise UserError(f"{address} has an unknown scheme {scheme!r}; {way}")
    parts = urlsplit(address)
    if not parts.hostname or not parts.path.strip("/"):
        raise UserError(f"{address} names no file; write {scheme}://PLACE/FOLDER/FILE")
    secret = next((name for name, value in parse_qsl(parts.query) if _SECRETS.search(name) and value[:1] != "$"), "")
    if (parts.password and not parts.password.startswith("$")) or secret:
        what = f"a {secret} in its query" if secret else "a password"
        raise UserError(
            f"{scheme}://{parts.hostname}{parts.path} holds {what}, and would be kept in the run folder; put "
            "it in a variable and write its name, between single quotes: '…$MY_SECRET…'"
        )
    return scheme


def files_of(address: str) -> list[str]:
    """Return the addresses that one stands for: `{0..3}` counts, with as many digits as its first number.

    >>> files_of("s3://b/train-{00..02}.parquet")
    ['s3://b/train-00.parquet', 's3://b/train-01.parquet', 's3://b/train-02.parquet']
    """
    found = _RANGE.search(address)
    if found is None:
        return [address]
    first, last = found.groups()
    if int(last) < int(first):
        raise UserError(f"{address} counts from {first} to {last}; write the lower number first")
    numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return [each for number in numbers for each in files_of(address[: found.start()] + number + address[found.end() :])]


def expanded(address: str) -> str:
    """Return an address with the values of the variables that it names; raise a UserError where one is not set."""
    whole = os.path.expandvars(address)
    if left := re.search(r"\$\{?[A-Za-z_]\w*", whole):
        raise UserError(f"{address}: the variable {left[0].strip('${')} is not set; export it")
    return whole


def masked(text: str, address: str) -> str:
    """Return a text with the names of the variables of an address in place of their values, which may be secrets."""
    for name in re.findall(r"\$\{?([A-Za-z_]\w*)", address):
        text = text.replace(os.environ.get(name) or "\0", f"${name}")
    return text


def names_of(addresses: Sequence[str]) -> list[str]:
    """Return the name of the file at each address."""
    return [unquote(urlsplit(address).path.rstrip("/").rpartition("/")[2]) for address in addresses]
