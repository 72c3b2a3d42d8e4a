"""Find a set by what a user calls it: a TFDS or Hub name, a file, a folder or an address; the one way in."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fdl.core.errors import UserError
from fdl.data.readers.clips import CLIPS
from fdl.data.readers.documents import TEXTS, is_tatoeba, text_files
from fdl.data.readers.folders import media_folder
from fdl.data.readers.hub_media import attach, table_beside
from fdl.data.readers.moses import parallel_files, parallel_texts
from fdl.data.readers.npz import ARRAY_FILES, array_files
from fdl.data.readers.pictures import picture_suffixes
from fdl.data.readers.recordings import SOUNDS
from fdl.data.readers.remote.address import is_address, is_hub
from fdl.data.readers.remote.hub import hub_copy
from fdl.data.readers.remote.local_copy import Copy, local_copy
from fdl.data.readers.splits import split_of
from fdl.data.readers.supplied import supplied_records
from fdl.data.readers.table_files import Reading, table_file, table_files
from fdl.data.readers.tables.conll import CONLL, conll_files, conll_folder
from fdl.data.readers.tables.containers import PANDAS, TABLES, suffix_of
from fdl.data.readers.tables.dialect import parse_dialect
from fdl.data.readers.tfds import tfds
from fdl.data.records import Records

LISTS = tuple(
    suffix for suffix in TABLES if suffix not in (".tsv", ".tab", ".dat", ".data")
)  # files with lists in cells
READERS = (*TABLES, *ARRAY_FILES, *TEXTS)


def find(
    dataset: str, *, splits: Mapping[str, str] | None = None, how: Reading | None = None, kind: str = ""
) -> Records:
    """Return the records that `dataset` names.

    splits: our split -> a TFDS split string, for sets whose own splits are not wanted.
    how:    what the flags say of files.
    kind:   what is wanted of it, as the pages are called: "image", "audio", "video", "text", "pairs", "table", …
    """
    if (given := supplied_records()) is not None:
        return given
    if is_address(dataset):
        copy = copied(dataset)
        found = find(str(copy.path), splits=splits, how=how, kind=kind)
        contents = (lambda: copy.digest) if copy.digest else found.contents
        return replace(found, contents=contents, origin=copy.note)
    path = Path(os.path.expanduser(dataset))
    if not dataset:
        raise UserError(
            "which data? give --dataset=NAME of TFDS, a prepared TFDS folder, a file or folder of your own, https://…, "
            "s3://…, gs://… or hf:NAME"
        )
    if path.is_dir():
        if next(path.glob("features.json"), None) or next(path.glob("*/features.json"), None):
            return _of_tfds(str(path), splits, how, kind)
        found = _of_folder(path, how, kind)
    elif path.is_file():
        found = _of_file(path, how, kind)
    elif suffix_of(path) in READERS or "\\" in dataset or dataset.startswith(("/", ".", "~")):
        raise UserError(f"there is no {dataset}; give --dataset=NAME of TFDS, a prepared folder, or a file")
    else:
        return _of_tfds(dataset, splits, how, kind)
    if splits:
        raise UserError(f"split strings are of TFDS; {dataset} is not, its splits are {', '.join(found.sizes)}")
    if how and (how.roles or how.drop) and not found.schema:
        raise UserError(f"--roles and --drop are of the columns of a table; {dataset} is none, leave them out")
    return found


def copied(address: str) -> Copy:
    """Return the local copy of what lies at an address, or of a set of the Hub."""
    return hub_copy(address) if is_hub(address) else local_copy(address)


def split_strings(train: str = "", validation: str = "", test: str = "") -> dict[str, str] | None:
    """Return the splits that are named, None where none is: then the set's own are taken."""
    named = {"train": train, "validation": validation, "test": test}
    return {split: string for split, string in named.items() if string} or None


def _of_tfds(name: str, splits: Mapping[str, str] | None, how: Reading | None, kind: str) -> Records:
    if how and (how.dialect or how.roles or how.drop):
        raise UserError(f"--dialect, --roles and --drop are of files; {name} is of TFDS, leave them out")
    return tfds(name, splits=splits, page=kind)


def _of_file(path: Path, how: Reading | None, kind: str) -> Records:
    suffix = suffix_of(path)
    if suffix in CONLL or (kind == "tagging" and suffix not in LISTS):
        return conll_files(path.absolute().stem, {"train": path}, _encoding(how))
    if suffix in TEXTS or (suffix == ".tsv" and is_tatoeba(path)):
        return text_files(path.absolute().stem, {"train": path}, _encoding(how))
    if suffix in TABLES or suffix in (".gz", ".bz2", ".xz", ".zip"):
        return attach(table_file(path, how), {"train": path.parent}, kind)
    if suffix in ARRAY_FILES:
        return array_files(path.absolute().stem, {"train": path}, kind)
    if suffix in SOUNDS | CLIPS | picture_suffixes():
        raise UserError(f"{path} is one example; give a folder with a folder of them for each class")
    if suffix in PANDAS:
        way = f"pandas.{PANDAS[suffix]}({path.name!r}).to_parquet({path.stem + '.parquet'!r})"
        raise UserError(f"{path} is of a kind that pandas reads; write it as Parquet with {way}, and give that")
    raise UserError(f"{path} is no {', '.join(READERS)} file; write it as CSV or Parquet, or give a folder")


def _of_folder(path: Path, how: Reading | None, kind: str) -> Records:
    if kind == "tagging" and (tagged := conll_folder(path, besides=LISTS)):
        return conll_files(path.absolute().name, tagged, _encoding(how))
    if table_files(path)[0]:
        return attach(table_file(path, how), {"train": path}, kind)
    for suffixes, read, more in ((ARRAY_FILES, array_files, kind), (TEXTS, text_files, _encoding(how))):
        files = {
            split: file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in suffixes and (split := split_of(file.stem))
        }
        if "train" in files:
            return read(path.absolute().name, files, more)
    if kind in ("", "pairs") and parallel_files(path):
        return parallel_texts(path)
    if kind in ("image", "audio", "video") and (records := table_beside(path, how, kind)):
        return records
    if kind in ("table", "series", "pairs", "tagging"):
        seen = ", ".join(sorted({file.suffix or file.name for file in path.iterdir()})[:8])
        what = f"holds no table but {seen}" if seen else "is empty"
        raise UserError(f"{path} {what}; give the file itself, or a folder of train.csv, test.csv, …")
    return media_folder(path, kind, _encoding(how))


def _encoding(how: Reading | None) -> str:
    result: str = parse_dialect(how.dialect if how else "").get("encoding", "utf-8")
    return result
