"""Data: named datasets, datasets from records of any modality, and file readers. One import rule for all of them:

    from fdl.data import digits, table

    digits()
    table(dataframe, target="y")

The functions are imported lazily: a run that reads no table imports no reader.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fdl.core.moved_modules import forward
from fdl.data.dataset import Dataset, LazySource, Source, Spec

if TYPE_CHECKING:
    from fdl.data.datasets.adding import adding as adding
    from fdl.data.datasets.addition import addition as addition
    from fdl.data.datasets.cifar10 import cifar10 as cifar10
    from fdl.data.datasets.co2 import co2 as co2
    from fdl.data.datasets.digits import digits as digits
    from fdl.data.datasets.digits import digits_apart as digits_apart
    from fdl.data.datasets.imagenet import imagenet as imagenet
    from fdl.data.datasets.library import library_lines as library_lines
    from fdl.data.datasets.library import library_text as library_text
    from fdl.data.datasets.library import library_tokens as library_tokens
    from fdl.data.datasets.mnist import mnist as mnist
    from fdl.data.datasets.moving_digits import moving_digits as moving_digits
    from fdl.data.datasets.pasted_digits import pasted_digits as pasted_digits
    from fdl.data.datasets.pronunciations import pronunciations as pronunciations
    from fdl.data.datasets.pydoc import pydoc as pydoc
    from fdl.data.datasets.small_tables import affairs as affairs
    from fdl.data.datasets.small_tables import cancer as cancer
    from fdl.data.datasets.small_tables import diabetes as diabetes
    from fdl.data.datasets.small_tables import wine as wine
    from fdl.data.datasets.spoken_digits import spoken_digits as spoken_digits
    from fdl.data.datasets.synthetic import synthetic as synthetic
    from fdl.data.datasets.synthetic import synthetic_texts as synthetic_texts
    from fdl.data.datasets.synthetic import synthetic_tokens as synthetic_tokens
    from fdl.data.datasets.tones import tones as tones
    from fdl.data.log_mel import LogMel as LogMel
    from fdl.data.modalities.arrays import arrays as arrays
    from fdl.data.modalities.audio import sounds as sounds
    from fdl.data.modalities.images import images as images
    from fdl.data.modalities.masked_text import masked as masked
    from fdl.data.modalities.pairs import pairs as pairs
    from fdl.data.modalities.series import Windows as Windows
    from fdl.data.modalities.series import series as series
    from fdl.data.modalities.table import in_logs as in_logs
    from fdl.data.modalities.table import table as table
    from fdl.data.modalities.tags import tags as tags
    from fdl.data.modalities.text import language as language
    from fdl.data.modalities.text import texts as texts
    from fdl.data.modalities.unseen_classes import numbered as numbered
    from fdl.data.modalities.unseen_classes import split_by_class as split_by_class
    from fdl.data.modalities.videos import videos as videos
    from fdl.data.modalities.videos import with_motion as with_motion
    from fdl.data.readers.find import find as find
    from fdl.data.readers.find import split_strings as split_strings
    from fdl.data.readers.table_files import reading as reading
    from fdl.data.readers.tfds import tfds as tfds
    from fdl.data.tokenizer import END as END
    from fdl.data.tokenizer import START as START
    from fdl.data.tokenizer import Tokens as Tokens
    from fdl.data.tokenizer import published_tokens as published_tokens

_HOMES = {
    "adding": "datasets.adding",
    "addition": "datasets.addition",
    "cifar10": "datasets.cifar10",
    "co2": "datasets.co2",
    "digits": "datasets.digits",
    "digits_apart": "datasets.digits",
    "imagenet": "datasets.imagenet",
    "library_lines": "datasets.library",
    "library_text": "datasets.library",
    "library_tokens": "datasets.library",
    "mnist": "datasets.mnist",
    "moving_digits": "datasets.moving_digits",
    "pasted_digits": "datasets.pasted_digits",
    "pronunciations": "datasets.pronunciations",
    "pydoc": "datasets.pydoc",
    "affairs": "datasets.small_tables",
    "cancer": "datasets.small_tables",
    "diabetes": "datasets.small_tables",
    "wine": "datasets.small_tables",
    "spoken_digits": "datasets.spoken_digits",
    "synthetic": "datasets.synthetic",
    "synthetic_texts": "datasets.synthetic",
    "synthetic_tokens": "datasets.synthetic",
    "tones": "datasets.tones",
    "arrays": "modalities.arrays",
    "sounds": "modalities.audio",
    "LogMel": "log_mel",
    "Tokens": "tokenizer",
    "Windows": "modalities.series",
    "images": "modalities.images",
    "masked": "modalities.masked_text",
    "pairs": "modalities.pairs",
    "series": "modalities.series",
    "in_logs": "modalities.table",
    "table": "modalities.table",
    "tags": "modalities.tags",
    "language": "modalities.text",
    "texts": "modalities.text",
    "split_by_class": "modalities.unseen_classes",
    "numbered": "modalities.unseen_classes",
    "videos": "modalities.videos",
    "with_motion": "modalities.videos",
    "reading": "readers.table_files",
    "find": "readers.find",
    "split_strings": "readers.find",
    "tfds": "readers.tfds",
    "END": "tokenizer",
    "START": "tokenizer",
    "published_tokens": "tokenizer",
}
__all__ = ["Dataset", "LazySource", "Source", "Spec", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdl.data' has no attribute {name!r}")
    return getattr(import_module(f"fdl.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


# Where users' pages of 0.1.0 imported from; the old modules go in 0.3.
forward(
    "fdl.data",
    {
        "adding": "datasets.adding",
        "addition": "datasets.addition",
        "affairs": "datasets.small_tables",
        "apart": "modalities.unseen_classes",
        "bundled": "datasets.bundled",
        "cancer": "datasets.small_tables",
        "cifar10": "datasets.cifar10",
        "co2": "datasets.co2",
        "diabetes": "datasets.small_tables",
        "digits": "datasets.digits",
        "files": "readers.table_files",
        "find": "readers.find",
        "imagenet": "datasets.imagenet",
        "images": "modalities.images",
        "library": "datasets.library",
        "masked": "modalities.masked_text",
        "mnist": "datasets.mnist",
        "moving_digits": "datasets.moving_digits",
        "pairs": "modalities.pairs",
        "pasted_digits": "datasets.pasted_digits",
        "pronunciations": "datasets.pronunciations",
        "pydoc": "datasets.pydoc",
        "series": "modalities.series",
        "sounds": "modalities.audio",
        "source": "dataset",
        "spoken_digits": "datasets.spoken_digits",
        "synthetic": "datasets.synthetic",
        "tables": "modalities.table",
        "targets": "modalities.targets",
        "texts": "modalities.text",
        "tfds": "readers.tfds",
        "tokens": "tokenizer",
        "tones": "datasets.tones",
        "videos": "modalities.videos",
        "voices": "datasets.voices",
        "wine": "datasets.small_tables",
    },
)
