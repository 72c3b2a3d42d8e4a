"""Folders of images, one folder a class, with or without folders for the splits."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fdl.data.fingerprint import fingerprint, glance
from fdl.data.pixels import picture
from fdl.data.records import Ask, Column, Field, Read, Records
from fdl.data.split import SPLITS

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def image_folder(path: Path) -> Records:
    """Return the records of a folder with one folder of images per class: columns `image` and `label`."""
    roots = {split: path / split for split in SPLITS if (path / split).is_dir()} or {"train": path}
    names = sorted(folder.name for folder in roots["train"].iterdir() if folder.is_dir()) if "train" in roots else []
    found: dict[str, list[tuple[Path, int]]] = {}
    for split, root in roots.items():
        unknown = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and folder.name not in names)
        if unknown:
            raise ValueError(
                f"{root} has a class {unknown[0]!r} that train does not have; its classes are {', '.join(names)}"
            )
        found[split] = [
            (file, number)
            for number, name in enumerate(names)
            for file in sorted((root / name).glob("*") if (root / name).is_dir() else [])
            if file.suffix.lower() in PICTURES
        ]
        if not found[split]:
            raise ValueError(
                f"{root} holds no CLASS/*.png or .jpg; give a prepared TFDS folder, a file, or images in class folders"
            )
    shapes = {_shape(found["train"][i][0]) for i in np.linspace(0, len(found["train"]) - 1, 16).astype(int)}
    channels = max(shape[2] for shape in shapes)
    same = len(shapes) == 1
    shape = next(iter(shapes)) if same else (None, None, channels)

    def reading(images: Callable[[list[Path]], Column]) -> Read:
        def read(split: str, indices: np.ndarray, columns: Sequence[str]) -> dict[str, Column]:
            rows = [found[split][i] for i in indices]
            values: dict[str, Callable[[], Column]] = {
                "image": lambda: images([file for file, _ in rows]),
                "label": lambda: [number for _, number in rows],
            }
            return {name: values[name]() for name in columns}

        return read

    def apart(ask: Ask) -> Read:
        return reading(lambda files: ask("pictures", files=[str(file) for file in files], channels=channels)["image"])

    return Records(
        name=path.absolute().name,
        fields={
            "image": Field(kind="image", shape=shape, dtype=np.dtype(np.uint8)),
            "label": Field(kind="label", dtype=np.dtype(np.int32), classes=len(names), names=tuple(names)),
        },
        sizes={split: len(files) for split, files in found.items()},
        read=reading(lambda files: [picture(file, channels) for file in files]),
        apart=apart,
        supervised=("image", "label"),
        fingerprint=lambda: fingerprint(file for files in found.values() for file, _ in files),
        contents=lambda: glance(file for files in found.values() for file, _ in files),
        where=lambda split, index: str(found[split][index][0]),
    )


def _shape(file: Path) -> tuple[int, int, int]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            channels = {"1": 1, "L": 1, "I": 1, "I;16": 1, "RGBA": 4, "LA": 4}.get(picture.mode, 3)
            return picture.height, picture.width, channels
    except OSError as error:
        raise ValueError(f"{file} is no image or is damaged; mend or remove it") from error
