"""TFDS sets by name or prepared folder, read from array_record files without TensorFlow."""

import contextlib
import importlib
import json
import logging
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import SPLITS
from fdl.data.fingerprint import fingerprint, quick_fingerprint
from fdl.data.readers.tensorflow_stub import install
from fdl.data.readers.tfds_features import _example, _field, _flatten, _reader
from fdl.data.records import Ask, Column, Read, Records

BUNDLED = "digits, cancer, wine, diabetes, pydoc"
_READ_TWICE = 2**31  # bytes of records that are read for their classes alone


def tfds(name: str, *, splits: Mapping[str, str] | None = None, folder: str | None = None, page: str = "") -> Records:
    """Return the records of a TFDS set.

    name:   as `tfds.builder` takes it (`mnist`, `glue/cola:1.0.0`), prepared on first use, or a prepared folder.
    splits: our split -> a TFDS split string, as in `{"train": "train[:90%]", "test": "test+validation"}`.
    folder: where TFDS keeps its data; its default where None.
    page:   what is wanted of the set, "image", "table" and so on: plain arrays of numbers may be several things.
    """
    install()
    builder = _prepared_folder(name) if Path(name).is_dir() else _prepared_name(name, folder)
    info = builder.info
    strings = dict(splits or {split: split for split in info.splits if split in SPLITS})
    strings = strings or {split: split for split in info.splits}
    sizes = {}
    for split, string in strings.items():
        try:
            sizes[split] = info.splits[string].num_examples
        except (KeyError, ValueError, AssertionError) as error:
            have = ", ".join(f"{s} ({n.num_examples})" for s, n in info.splits.items())
            raise UserError(
                f"{info.name} has no split {string!r}; it has {have}; slices are like train[:90%]"
            ) from error
    keys, place = info.supervised_keys, Path(builder.data_dir)
    whole = cache(lambda: fingerprint(_files(place)))
    return Records(
        name=info.name,
        fields={field: _field(feature, page) for field, feature in _flatten("", info.features).items()},
        sizes=sizes,
        read=_Opened(builder, strings, page).read,
        in_subprocess=lambda ask: _reading_apart(ask, place, strings, page),
        supervised=keys if keys and len(keys) == 2 and all(isinstance(key, str) for key in keys) else None,
        fingerprint=lambda: f"{whole()} {sorted(strings.items())}",
        contents=lambda: quick_fingerprint(_files(place), whole),
        stratified=sum(file.stat().st_size for file in _files(place)) <= _READ_TWICE,
    )


def _reading_apart(ask: Ask, folder: Path, strings: Mapping[str, str], page: str) -> Read:
    """Return a `read` for which another process opens the folder again."""
    where = {"folder": str(folder), "splits": json.dumps(strings), "page": page}
    return lambda split, indices, names: ask("rows", **where, split=split, indices=indices.tolist(), names=list(names))


class _Opened:
    """The files of a prepared set.

    strings: our split -> a TFDS split string.
    """

    def __init__(self, builder: Any, strings: Mapping[str, str], page: str = ""):
        self.builder, self.strings = builder, strings
        flat = _flatten("", builder.info.features)
        self.readers = {field: _reader(field, feature, page) for field, feature in flat.items()}
        self.rows: dict[str, Any] = {}

    def read(self, split: str, indices: np.ndarray, names: Sequence[str]) -> dict[str, Column]:
        """Return these columns of these rows, as `Records.read` does."""
        columns: dict[str, Any] = {field: [] for field in names}
        try:
            rows = self._rows(split).__getitems__(indices.tolist())
        except Exception as error:
            raise UserError(f"{_damaged(self.builder)}; copy it or prepare it again") from error
        readers = [(columns[field].append, self.readers[field]) for field in names]
        for index, row in zip(indices, rows, strict=True):
            try:
                parsed = _example(row)
                for keep, reader in readers:
                    keep(reader(parsed, row))
            except Exception as error:
                where = f"split {split!r} example {index} cannot be read"
                raise UserError(f"{_damaged(self.builder)}: {where}; copy it or prepare it again") from error
        return columns

    def _rows(self, split: str) -> Any:
        from tensorflow_datasets import decode

        if split not in self.rows:
            raw = decode.DeserializeMethod.RAW_BYTES
            self.rows[split] = self.builder.as_data_source(split=self.strings[split], deserialize_method=raw)
        return self.rows[split]


def _prepared_folder(name: str) -> Any:
    import tensorflow_datasets

    folder = Path(name)
    if not (folder / "features.json").is_file():
        versions = sorted(path.parent for path in folder.glob("*/features.json"))
        if not versions:
            raise UserError(f"{name} holds no features.json, so it is no prepared TFDS folder; give the version folder")
        folder = versions[-1]
    refuse_code(folder / "features.json")
    try:
        builder = tensorflow_datasets.builder_from_directory(folder)
    except Exception as error:
        raise UserError(f"{folder} cannot be opened as a TFDS folder: {str(error).splitlines()[0]}") from error
    form = builder.info.file_format
    if form is None or form.value != "array_record":
        raise UserError(
            f"{folder} holds {getattr(form, 'value', form)} files, which give no random access; "
            "prepare it again with file_format='array_record'"
        )
    for split, info in builder.info.splits.items():
        for path in info.filepaths:
            if not Path(path).is_file():
                raise UserError(f"{path} of split {split!r} is missing; copy the folder again")
    return builder


def refuse_code(file: Path) -> None:
    """Raise a ValueError where a features.json names a class that is not TFDS's own: TFDS would import its module."""
    try:
        names = set(_classes(json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, RecursionError, ValueError) as error:
        raise UserError(f"{file} is damaged: {str(error).splitlines()[0]}") from None
    if foreign := sorted(name for name in names if not name.startswith("tensorflow_datasets.")):
        raise UserError(
            f"{file} names {foreign[0]!r}, which is code from elsewhere; describe the set by TFDS's features"
        )


def _classes(node: Any) -> Iterator[str]:
    """Yield the classes that a description names, in the JSON texts inside it too."""
    if isinstance(node, str) and node.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            node = json.loads(node)
    if isinstance(node, list):
        for child in node:
            yield from _classes(child)
    elif isinstance(node, dict):
        for key, child in node.items():
            if isinstance(child, str) and key in ("pythonClassName", "python_class_name", "type"):
                yield child
            yield from _classes(child)


def _prepared_name(name: str, folder: str | None) -> Any:
    import tensorflow_datasets
    from tensorflow_datasets.core.download import downloader

    def named() -> Any:
        return tensorflow_datasets.builder(name, data_dir=folder, file_format="array_record")

    try:
        try:
            builder = named()
        except tensorflow_datasets.core.registered.DatasetNotFoundError:
            _register_all()
            builder = named()
    except Exception as error:
        said = str(error).strip().splitlines()[0]
        raise UserError(f"no TFDS set {name!r} ({said}); bundled sets: {BUNDLED}") from error
    downloader.MAX_RETRIES = 3  # ten, with waits that double, keep a machine without a network busy for minutes
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[-1][:200]
        raise UserError(
            f"{name} is not prepared and preparing it failed ({said}); give a folder or a bundled set: {BUNDLED}"
        ) from error
    return builder


def _register_all() -> None:
    """Import every category of sets: TFDS does so lazily, and does not know their names before."""
    import tensorflow_datasets

    for module in pkgutil.iter_modules(tensorflow_datasets.__path__):
        if module.ispkg and module.name not in ("core", "proto", "scripts", "testing"):
            with contextlib.suppress(Exception):  # a category that needs TensorFlow or Beam to be imported
                importlib.import_module(f"tensorflow_datasets.{module.name}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _damaged(builder: Any) -> str:
    """Name the first record file that does not hold what it should."""
    from array_record.python.array_record_module import ArrayRecordReader

    for info in builder.info.splits.values():
        for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
            try:
                reader = ArrayRecordReader(str(path))
                whole = reader.num_records() == length and all(map(_example, reader.read_all()))
            except Exception:
                whole = False
            if not whole:
                return f"{path} is damaged"
    return f"{builder.data_dir} is damaged"
