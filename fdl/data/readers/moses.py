"""Parallel texts as Moses and the WMT keep them: a file per language, whose lines belong together by number."""

from functools import partial
from pathlib import Path

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint
from fdl.data.pixels import Unreadable
from fdl.data.readers.documents import document, text_records
from fdl.data.readers.splits import SPLIT_NAMES, split_of
from fdl.data.records import Records

_NO_LANGUAGES = frozenset(
    {"txt", "csv", "tsv", "npz", "npy", "mat", "zip", "gz", "xz", "png", "jpg", "gif", "wav", "mp", "md"}
)


def parallel_files(path: Path) -> dict[str, dict[str, Path]]:
    """Return `{split: {language: file}}` of a folder of train.en, train.de, …; empty where it is none."""
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(path.iterdir()):
        language = file.suffix.removeprefix(".").lower()
        if 2 <= len(language) <= 3 and language.isalpha() and language not in _NO_LANGUAGES and file.is_file():
            found.setdefault(split_of(file.stem) or file.stem, {})[language] = file
    if len(found) == 1:  # one pair of files, whatever their name
        found = {"train": next(iter(found.values()))}
    languages = set(found.get("train", ()))
    whole = len(languages) == 2 and all(set(files) == languages for files in found.values())
    return (
        {split: found[split] for split in SPLIT_NAMES if split in found}
        if whole and found.keys() <= set(SPLIT_NAMES)
        else {}
    )


def parallel_texts(path: Path) -> Records:
    """Return the records of a folder of parallel texts: a column per language."""
    files = parallel_files(path)
    columns: dict[str, dict[str, list[str]]] = {}
    for split, of_split in files.items():
        columns[split] = {language: _lines(file) for language, file in of_split.items()}
        counts = {of_split[language].name: len(lines) for language, lines in columns[split].items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} has {count:,}" for name, count in counts.items())
            raise UserError(f"{path}: {listed} lines; lines of one number belong together: mend the files")
    every = [file for of_split in files.values() for file in of_split.values()]
    first = files["train"]
    return text_records(
        path.absolute().name,
        columns,
        (f"lines of {' and '.join(file.name for file in first.values())} belong together: a column per language",),
        partial(fingerprint, every),
        lambda split, index: f"{next(iter(files[split].values()))} line {index + 1}",
    )


def _lines(file: Path) -> list[str]:
    try:
        lines = document(str(file)).split("\n")
    except Unreadable as error:
        raise UserError(f"{file}: {error}; convert the file, as with: iconv -f ENCODING -t utf-8") from None
    return lines[:-1] if not lines[-1] else lines
