"""What people call the splits: one table of names for files and folders."""

import re
from collections.abc import Mapping

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_SHARD = re.compile(
    r"(?:(?P<name>.+?)[-_.])?(?:part[-_.]?)?\d+(?:[-_.]of[-_.]\d+)?(?:[-_.].*)?|part[-_.].*", re.IGNORECASE
)


def split_of(stem: str) -> str | None:
    """Return which split a file or folder of this name is, in any case; `train-00000-of-00002` is a part of train."""
    if stem.lower() in _OF:
        return _OF[stem.lower()]
    part = _SHARD.fullmatch(stem)
    return _OF.get((part["name"] or "").lower()) if part else None


def is_shard(stem: str) -> bool:
    """Say whether a name is that of one part of several, as `part-00000-abc.snappy` and `data-00001-of-00004`."""
    return _SHARD.fullmatch(stem) is not None
