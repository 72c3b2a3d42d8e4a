"""Folders of pictures, one folder a class, with or without folders for the splits."""

from pathlib import Path

from fdl.data.readers.folders import media_folder
from fdl.data.records import Records


def image_folder(path: Path) -> Records:
    """Return the records of a folder with one folder of pictures per class: columns `image` and `label`."""
    return media_folder(path, "image")
