"""Find a set by what a user calls it: a TFDS name, a prepared TFDS folder, a file or a folder of images."""

from collections.abc import Mapping
from pathlib import Path

from fdl.data.readers.files import READERS, SPLITS, table_file
from fdl.data.readers.image_folder import image_folder
from fdl.data.readers.tfds import tfds
from fdl.data.records import Records


def find(dataset: str, *, splits: Mapping[str, str] | None = None) -> Records:
    """Return the records that `dataset` names.

    splits: our split -> a TFDS split string, for sets whose own splits are not wanted.
    """
    path = Path(dataset).expanduser()
    if not dataset:
        raise ValueError(
            "which data? give --dataset=NAME of TFDS, a prepared TFDS folder, or a file or folder of your own"
        )
    if path.is_dir():
        if next(path.glob("features.json"), None) or next(path.glob("*/features.json"), None):
            return tfds(str(path), splits=splits)
        found = _table_or_images(path)
    elif path.is_file():
        if path.suffix not in READERS:
            raise ValueError(f"{path} is no {', '.join(READERS)} file; convert it, or give a folder")
        found = table_file(path)
    elif path.suffix in READERS or "\\" in dataset or dataset.startswith(("/", ".", "~")):
        raise ValueError(f"there is no {dataset}; give --dataset=NAME of TFDS, a prepared folder, or a file")
    else:
        return tfds(dataset, splits=splits)
    if splits:
        raise ValueError(f"split strings are of TFDS; {dataset} is not, its splits are {', '.join(found.sizes)}")
    return found


def split_strings(train: str = "", validation: str = "", test: str = "") -> dict[str, str] | None:
    """Return the splits that are named, None where none is: then the set's own are taken."""
    named = {"train": train, "validation": validation, "test": test}
    return {split: string for split, string in named.items() if string} or None


def _table_or_images(path: Path) -> Records:
    if any((path / f"{split}{suffix}").is_file() for split in SPLITS for suffix in READERS):
        return table_file(path)
    return image_folder(path)
