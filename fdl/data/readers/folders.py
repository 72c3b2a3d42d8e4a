"""Folders of pictures, sounds, videos or texts by class as records: a column of them, and `label`."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from fdl.core.errors import UserError
from fdl.data.fingerprint import fingerprint, quick_fingerprint
from fdl.data.readers.class_folder import ClassFiles, Folder, class_files, folders_as_files, listing, natural
from fdl.data.readers.clips import CLIPS, clips, frame_files
from fdl.data.readers.documents import DOCUMENTS, documents, text_records
from fdl.data.readers.media import Items, Media, asking, reading
from fdl.data.readers.pictures import picture_suffixes, pictures
from fdl.data.readers.recordings import SOUNDS, recordings
from fdl.data.records import Ask, Column, Field, Kind, Read, Records


@dataclass(frozen=True, kw_only=True)
class Form:
    """What files of one kind are called, which they are, and how their column is made."""

    what: str
    suffixes: Callable[[], Collection[str]]
    column: Callable[[Items], Media]


_WAY = {"text": "give their encoding, as in --dialect=encoding=cp1252, or mend or remove them"}
FORMS: dict[Kind, Form] = {
    "image": Form(what="pictures", suffixes=picture_suffixes, column=pictures),
    "audio": Form(what="sounds", suffixes=lambda: SOUNDS, column=recordings),
    "video": Form(what="videos", suffixes=lambda: CLIPS, column=clips),
    "text": Form(what="texts", suffixes=lambda: DOCUMENTS, column=documents),
}


def media_folder(path: Path, kind: str = "", encoding: str = "utf-8") -> Records:
    """Return the records of a folder with a folder of files per class, perhaps below train, validation and test.

    kind:     what the page wants of it, "image", "audio", "video" or "text"; what most files are where it is none.
    encoding: of texts.
    """
    kind = kind if kind in FORMS else _commonest(path)
    form = FORMS[kind] if kind != "text" else replace(FORMS[kind], column=partial(documents, encoding=encoding))
    root = listing(path, form.suffixes())
    if kind == "video" and not root.deep_files():
        frames = folders_as_files(listing(path, picture_suffixes()))
        root = frames if frames.deep_files() else root
    if kind == "text" and root.files and not any(folder.deep_files() for folder in root.folders):
        return _flat_texts(path, root, encoding)
    return _records(path, kind, form, class_files(root, form.what))


def _records(path: Path, kind: Kind, form: Form, found: ClassFiles) -> Records:
    files = found.files
    items = Items(
        what=form.what,
        sizes={split: len(rows) for split, rows in files.items()},
        get=lambda split, index: files[split][index][0],
        at=lambda split, index: files[split][index][0],
        way=_WAY.get(kind, Items.way),
    )
    media = form.column(items)
    decoded = reading(items, media.decode)

    def reading_with(values: Callable[[str, np.ndarray], Column]) -> Read:
        def read(split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
            columns: dict[str, Callable[[], Column]] = {
                kind: lambda: values(split, indices),
                "label": lambda: [files[split][i][1] for i in indices],
            }
            return {name: columns[name]() for name in names}

        return read

    def in_subprocess(ask: Ask) -> Read:
        return reading_with(asking(ask, items, media))

    def every() -> Iterator[Path]:
        for rows in files.values():
            for file, _ in rows:  # a video may be a folder of frames
                yield from map(Path, frame_files(file) if os.path.isdir(file) else (file,))

    whole = cache(lambda: fingerprint(every()))  # it is needed by the run and by each split, and reads all files
    return Records(
        name=path.absolute().name,
        fields={
            kind: media.field,
            "label": Field(kind="label", dtype=np.dtype(np.int32), classes=len(found.names), names=found.names),
        },
        sizes=dict(items.sizes),
        read=reading_with(decoded),
        in_subprocess=in_subprocess if kind == "image" else None,
        supervised=(kind, "label"),
        fingerprint=whole,
        contents=lambda: quick_fingerprint(every(), whole),
        where=lambda split, index: files[split][index][0],
        stratified=True,
        notes=(*found.notes, *media.notes),
    )


def _flat_texts(path: Path, root: Folder, encoding: str) -> Records:
    """Return a folder of texts without classes: a text per file, to learn the language of."""
    files = sorted(root.files, key=natural)
    items = Items(
        what="texts", sizes={"train": len(files)}, get=lambda _, i: files[i], at=lambda _, i: files[i], way=_WAY["text"]
    )
    column = reading(items, documents(items, encoding).decode)("train", np.arange(len(files)))
    return text_records(
        path.absolute().name,
        {"train": {"text": column}},
        (f"{len(files):,} texts, a file each, without classes",),
        partial(fingerprint, [Path(file) for file in files]),
        lambda _, index: files[index],
    )


def _commonest(path: Path) -> Kind:
    counts: dict[Kind, int] = {kind: len(listing(path, form.suffixes()).deep_files()) for kind, form in FORMS.items()}
    return max(counts, key=lambda kind: counts[kind])  # GIFs are pictures then, since those are tried first


def media_files(kind: str, path: str) -> list[str]:
    """Return the pictures, sounds or videos that a path, a folder or a pattern names, sorted.

    kind: "image", "audio" or "video". Raises a UserError where there is none.
    """
    suffixes = {"audio": SOUNDS, "video": CLIPS}.get(kind) or picture_suffixes()
    whole = Path(os.path.expanduser(path))
    if whole.is_file():
        return [str(whole)]
    if whole.is_dir():
        found = [file for file in whole.rglob("*") if file.is_file() and not file.name.startswith(".")]
    else:
        matching = Path(whole.anchor or ".").glob(str(whole.relative_to(whole.anchor)))
        found = [file for file in matching if file.is_file()]
    files = sorted(str(file) for file in found if file.suffix.lower() in suffixes)
    if not files:
        seen = f"{len(found)} files of other kinds" if found else "nothing"
        raise UserError(f"{path} holds no {kind} but {seen}; give a file, a folder or a pattern such as '*.png'")
    return files
