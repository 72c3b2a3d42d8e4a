"""Folders with one folder of files per class, perhaps below one folder per split: which file is which.

What is not read is counted and said; a layout that means something else is refused with what was seen.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fdl.core.errors import UserError
from fdl.data.readers.splits import SPLIT_NAMES, split_of

_HIDDEN = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})
_PICTURES = frozenset({"images", "image", "imgs", "img", "jpegimages"})
_ANSWERS = frozenset({"masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "gt"})
_SENTIMENT = frozenset({"pos", "neg", "unsup"})  # aclImdb's train: unsup holds texts without a class
_SHOWN = 8  # names in one message


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The visible part of a folder.

    files:  those that are wanted, of this folder alone. others: the suffixes of the rest, counted.
    hidden: names that begin with a dot, of other systems' own folders, and of folders that begin with _.
    """

    path: str
    files: tuple[str, ...] = ()
    folders: "tuple[Folder, ...]" = ()
    others: Counter[str] = field(default_factory=Counter)
    hidden: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(os.path.normpath(self.path))

    def whole(self) -> "Iterator[Folder]":
        """Yield this folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.whole()

    def deep_files(self) -> list[str]:
        """Return the wanted files of this folder and of all below it."""
        return [file for folder in self.whole() for file in folder.files]


@dataclass(frozen=True, kw_only=True)
class ClassFiles:
    """Files by split, each with the number of its class. names: of the classes. notes: what was decided."""

    files: dict[str, list[tuple[str, int]]]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def class_files(root: Folder, what: str) -> ClassFiles:
    """Return the files of a folder by split and class. what: the plural of what a file holds, for messages."""
    notes = list(_skipped(root, what))
    roots = _splits(root, what)
    train = roots["train"]
    _refuse_other_layouts(train, what)
    classes = sorted(train.folders, key=lambda folder: natural(folder.name))
    if {folder.name for folder in classes} == _SENTIMENT:
        notes.append(f"left out, {what} without a class: unsup ({len(classes[-1].deep_files()):,})")
        classes = classes[:-1]
    for folder in classes:
        if not folder.deep_files():
            raise UserError(f"{folder.path} holds no {what} but {_seen([folder])}; remove that folder or fill it")
    names = tuple(folder.name for folder in classes)
    for folder in classes:
        if any("\ud800" <= letter <= "\udfff" for letter in folder.name):  # neither JSON nor CSV could keep it
            raise UserError(f"the class folder {os.fsencode(folder.path)!r} is not UTF-8; rename it")
    _refuse_one_class(train, classes, what)
    files = {}
    for split, folder in roots.items():
        found = {each.name: each for each in folder.folders if each.deep_files()}
        if unknown := sorted(found.keys() - set(names) - _SENTIMENT):
            raise UserError(
                f"{folder.path} has a class {unknown[0]!r} that train does not have; its classes are {_list(names)}; "
                "move that folder away or put some of it in train"
            )
        files[split] = [
            (file, number)
            for number, name in enumerate(names)
            for file in sorted(found[name].deep_files() if name in found else ())
        ]
        _refuse_splits_inside(folder, [found[name] for name in names if name in found])
        if deeper := [name for name in names if name in found and any(f.deep_files() for f in found[name].folders)]:
            notes.append(f"{what} in folders below a class count to that class: {_list(deeper)}")
        if loose := len(folder.files):
            notes.append(f"not read, {what} beside the class folders of {folder.name}: {loose:,}")
    if extra := [f for f in root.folders if root is not train and f.deep_files() and f not in roots.values()]:
        counts = (f"{f.name} ({len(f.deep_files()):,} {what})" for f in extra)
        notes.append(f"not read, folders beside the splits: {_list(counts)}")
    return ClassFiles(files=files, names=names, notes=tuple(notes))


def listing(path: Path | str, suffixes: Collection[str], above: tuple[str, ...] = ()) -> Folder:
    """Return what a folder holds, but for what is hidden.

    suffixes: of wanted files, in small letters. above: the real paths that it lies in, so that circles of links end.
    """
    files, folders, others, hidden = [], [], Counter[str](), []
    try:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{path} cannot be listed: {error.strerror}; give it to this user, or move it away") from None
    for entry in found:
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name[0] == "." or entry.name.lower() in _HIDDEN or (entry.name[0] == "_" and entry.is_dir()):
            hidden.append(entry.name)
        elif entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in above:
                folders.append(listing(entry.path, suffixes, (*above, real)))
        elif suffix in suffixes and (entry.is_file() or entry.is_symlink()):  # of a broken link it is said; no pipes
            files.append(entry.path)
        else:
            others[suffix or "without a suffix"] += 1
    return Folder(path=str(path), files=tuple(files), folders=tuple(folders), others=others, hidden=tuple(hidden))


def folders_as_files(folder: Folder) -> Folder:
    """Return the same tree in which a folder that holds nothing but wanted files is one such file: a video's frames."""
    units = [each for each in folder.folders if each.files and not each.folders]
    return replace(
        folder,
        files=tuple(each.path for each in units),
        folders=tuple(folders_as_files(each) for each in folder.folders if each not in units),
    )


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def _splits(root: Folder, what: str) -> dict[str, Folder]:
    """Return the folder of each split, or the whole as train where there are no folders of splits."""
    named: dict[str, list[Folder]] = {}
    for folder in root.folders:
        if split := split_of(folder.name):
            named.setdefault(split, []).append(folder)
    flat = [f for fs in named.values() for f in fs if f.files and not any(sub.deep_files() for sub in f.folders)]
    others = [f for f in root.folders if not split_of(f.name) and f.deep_files()]
    if not named or (flat and others):  # a class may be called "train"
        return {"train": root}
    if flat:
        raise UserError(
            f"{flat[0].path} holds {len(flat[0].files):,} {what} and no folders of classes; make a folder for each "
            "class in it, or put a table of file names and labels beside them"
        )
    for split, folders in named.items():
        if len(folders) > 1:
            raise UserError(
                f"{root.path} holds {_list(f.name for f in folders)}, all of which mean {split}; rename all but one"
            )
    if "train" not in named:
        raise UserError(
            f"{root.path} holds {_list(f.name for fs in named.values() for f in fs)} and no folder to train on; name "
            "one of them train, or give that one as --dataset"
        )
    return {split: named[split][0] for split in SPLIT_NAMES if split in named}


def _refuse_other_layouts(folder: Folder, what: str) -> None:
    names = {each.name.lower() for each in folder.folders}
    if names & _PICTURES and names & _ANSWERS:
        raise UserError(
            f"{folder.path} holds {_list(sorted(each.name for each in folder.folders))}: pictures beside their masks "
            "or boxes, not classes; to classify, give a folder with one folder of pictures per class"
        )
    if not any(each.deep_files() for each in folder.folders):
        if folder.files:
            raise UserError(
                f"{folder.path} holds {len(folder.files):,} {what} and no folders of classes; make a folder for each "
                "class, or put a table of file names and labels beside them"
            )
        raise UserError(
            f"{folder.path} holds no {what} in folders of classes but {_seen(folder.whole())}; give a folder with one "
            "folder per class, a prepared TFDS folder, or a file"
        )


def _refuse_splits_inside(folder: Folder, classes: Sequence[Folder]) -> None:
    """Raise a UserError where each class holds a folder per split: its test would be learned from."""
    inside = [{split_of(each.name) for each in found.folders if each.deep_files()} for found in classes]
    if inside and all("train" in splits and len(splits) > 1 for splits in inside):
        name = classes[0].name
        raise UserError(
            f"{folder.path} holds splits within classes ({name}/train, …); put classes within splits: train/{name}, …"
        )


def _refuse_one_class(train: Folder, classes: Sequence[Folder], what: str) -> None:
    if len(classes) == 1:
        inner = [each for each in classes[0].folders if each.deep_files()]
        way = f"give --dataset={classes[0].path}" if len(inner) > 1 else "add a folder for each other class"
        raise UserError(
            f"{train.path} holds one folder of {what}, {classes[0].name}: one class is nothing to learn; {way}"
        )


def _skipped(root: Folder, what: str) -> Iterator[str]:
    hidden = [name for folder in root.whole() for name in folder.hidden]
    if hidden:
        yield f"not read, hidden files and folders: {_list(hidden)}"
    if any(folder.others for folder in root.whole()):
        yield f"not read, files that are no {what}: {_seen(root.whole())}"


def _seen(folders: Iterable[Folder]) -> str:
    found = sum((folder.others for folder in folders), Counter[str]())
    return _list(f"{count:,} {suffix}" for suffix, count in found.most_common()) or "nothing"


def _list(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f", … ({len(names) - _SHOWN:,} more)" if len(names) > _SHOWN else "")
