"""Find a set by what a user calls it: a TFDS name, a prepared TFDS folder, a file or a folder; the one way in."""

from collections.abc import Mapping
from pathlib import Path

from fdl.data.readers.arrays import arrays_file
from fdl.data.readers.containers import TABLES, suffix_of
from fdl.data.readers.files import Reading, table_file, table_files
from fdl.data.readers.image_folder import image_folder
from fdl.data.readers.text_file import text_file
from fdl.data.readers.tfds import tfds
from fdl.data.records import Records

READERS = (*TABLES, ".npz", ".txt")


def find(dataset: str, *, splits: Mapping[str, str] | None = None, how: Reading | None = None) -> Records:
    """Return the records that `dataset` names.

    splits: our split -> a TFDS split string, for sets whose own splits are not wanted.
    how:    what the flags say of files.
    """
    path = Path(dataset).expanduser()
    if not dataset:
        raise ValueError(
            "which data? give --dataset=NAME of TFDS, a prepared TFDS folder, or a file or folder of your own"
        )
    if path.is_dir():
        if next(path.glob("features.json"), None) or next(path.glob("*/features.json"), None):
            return tfds(str(path), splits=splits)
        found = _of_folder(path, how)
    elif path.is_file():
        found = _of_file(path, how)
    elif suffix_of(path) in READERS or "\\" in dataset or dataset.startswith(("/", ".", "~")):
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


def _of_file(path: Path, how: Reading | None) -> Records:
    suffix = suffix_of(path)
    if suffix in TABLES or suffix in (".gz", ".bz2", ".xz", ".zip"):
        return table_file(path, how)
    if suffix == ".npz":
        return arrays_file(path)
    if suffix == ".txt":
        return text_file(path)
    raise ValueError(f"{path} is no {', '.join(READERS)} file; convert it, or give a folder")


def _of_folder(path: Path, how: Reading | None) -> Records:
    if table_files(path)[0]:
        return table_file(path, how)
    if (path / "train.npz").is_file():
        return arrays_file(path)
    return image_folder(path)
