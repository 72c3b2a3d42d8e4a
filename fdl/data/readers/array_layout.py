"""What an array of numbers means, inferred from its dtype, its dimensions and the page: picture, video, sound.

Layouts that other libraries write are turned into ours, in which the last dimension counts channels.

Shape legend: n rows, T frames or samples, H height, W width, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fdl.data.records import FLOAT, Field, Kind

CHANNELS = (1, 3, 4)
_STEREO = (1, 2)
_SOUND = 100  # samples: a shorter row of numbers is no sound
_PLAIN_PAGES = ("table", "series", "text", "pairs")
_BYTE, _SAMPLE = np.dtype(np.uint8), np.dtype(np.int16)
Size = int | None
Rows = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a column of arrays is read. rows: `[n, ...] as kept -> [n, ...] as the field says`. note: what was done."""

    field: Field
    rows: Rows = lambda rows: rows
    note: str = ""


def layout(
    shape: Sequence[Size], dtype: np.dtype, page: str = "", span: Callable[[], tuple[float, float]] | None = None
) -> Layout:
    """Return what a column holds.

    shape: of one row. page: the kind that is wanted, "image", "video", "audio", "table" or any other.
    span:  gives the smallest and the largest number where they can be looked at; needed for numbers that are not bytes
           to be pictures, and for those of 32 bits to be sounds.
    """
    shape = tuple(shape)
    plain = Layout(field=Field(kind="array" if shape else "number", shape=shape, dtype=dtype))
    if page in _PLAIN_PAGES or dtype.kind not in "iuf" or not shape:
        return plain
    if len(shape) == 1 or (len(shape) == 2 and (shape[-1] in _STEREO or shape[0] in _STEREO) and dtype != _BYTE):
        return _sound(shape, dtype, page, span) or plain
    turned = _video(shape, page) if dtype == _BYTE or page == "video" else None
    turned = turned or _picture(shape)
    if turned is None or (dtype != _BYTE and page not in ("image", "video")):
        return plain
    values = _values(dtype, span, whole=turned.kind == "video")
    if values is None:
        return plain
    convert, said, made = values
    return Layout(
        field=Field(kind=turned.kind, shape=turned.shape, dtype=made),
        rows=lambda rows: convert(turned.rows(rows)),
        note="; ".join(filter(None, (turned.note, said))),
    )


class _Turned(NamedTuple):
    """How rows are turned to channels last: what they are then, of which shape, how, and what is said."""

    kind: Kind
    shape: tuple[Size, ...]
    rows: Rows
    note: str


def _picture(shape: tuple[Size, ...]) -> _Turned | None:
    if len(shape) == 2:
        return _Turned("image", (*shape, 1), lambda rows: rows[..., None], "")
    if len(shape) != 3:
        return None
    if shape[2] in CHANNELS:
        return _Turned("image", shape, lambda rows: rows, "")
    if shape[0] in CHANNELS:
        note = f"pictures of {_brief(shape)}, channels first, are turned to channels last"
        return _Turned("image", (*shape[1:], shape[0]), lambda rows: np.moveaxis(rows, 1, -1), note)
    return None


def _video(shape: tuple[Size, ...], page: str) -> _Turned | None:
    if (
        len(shape) == 3
        and shape[2] not in CHANNELS
        and (page == "video" or shape[0] not in CHANNELS)
        and page != "image"
    ):
        note = f"{_brief(shape)} are taken for videos of one channel: frames, height, width"
        return _Turned("video", (*shape, 1), lambda rows: rows[..., None], note)
    if len(shape) != 4:
        return None
    if shape[3] in CHANNELS:
        return _Turned("video", shape, lambda rows: rows, "")
    channels_at = [i for i in (0, 1) if shape[i] in CHANNELS]
    if len(channels_at) != 1:
        return None
    (at,) = channels_at
    note = f"videos of {_brief(shape)}, channels {'first' if at == 0 else 'second'}, are turned to channels last"
    to = tuple(size for i, size in enumerate(shape) if i != at)
    return _Turned("video", (*to, shape[at]), lambda rows: np.moveaxis(rows, 1 + at, -1), note)


def _values(
    dtype: np.dtype, span: Callable[[], tuple[float, float]] | None, *, whole: bool
) -> tuple[Rows, str, np.dtype] | None:
    """Return how numbers become those of pictures, what is said of it, and their dtype then; None where no rule is.

    whole: bytes alone will do, as of videos.
    """
    if dtype == _BYTE:
        return (lambda rows: rows), "", _BYTE
    if span is None:
        return None
    low, high = span()
    if dtype.kind in "iu":
        if low >= 0 and high <= 255:
            return (
                (lambda rows: rows.astype(np.uint8)),
                f"whole numbers from {low:g} to {high:g} are taken for bytes",
                _BYTE,
            )
        if dtype == np.uint16:
            return (lambda rows: (rows >> 8).astype(np.uint8)), "16 bits are divided by 256 to 8 bits", _BYTE
        return None
    if whole:
        if low < 0 or high > 255:
            return None
        scale = 255.0 if high <= 1 else 1.0
        note = f"floats from {low:g} to {high:g} are rounded to bytes"
        return (lambda rows: np.round(rows * scale).astype(np.uint8)), note, _BYTE
    if low >= 0 and high <= 1:
        note = "floats from 0 to 1 are scaled to -1 to 1, as bytes are"
        return (lambda rows: rows.astype(np.float32) * 2 - 1), note, FLOAT
    if low >= 0 and high <= 255:
        note = f"floats from {low:g} to {high:g} are taken for bytes and scaled to -1 to 1"
        return (lambda rows: rows.astype(np.float32) / np.float32(127.5) - 1), note, FLOAT
    return (lambda rows: rows.astype(np.float32)), f"floats from {low:g} to {high:g} are taken as they are", FLOAT


def _sound(
    shape: tuple[Size, ...], dtype: np.dtype, page: str, span: Callable[[], tuple[float, float]] | None
) -> Layout | None:
    """Return the layout of sounds [T], [T, C] or [C, T], of which several channels are averaged."""
    at = next((i for i, size in enumerate(shape) if size not in _STEREO), 0)
    samples = shape[at]
    if (samples is not None and samples < _SOUND) or dtype.kind == "u" or (dtype != _SAMPLE and page != "audio"):
        return None
    to: np.dtype
    if dtype == _SAMPLE:
        to, said, scale = _SAMPLE, "", 1.0
    elif dtype.kind == "f":
        to, said, scale = FLOAT, "", 1.0
    elif span is not None and dtype.kind == "i":
        low, high = span()
        fits = low >= -(2**15) and high < 2**15
        if not fits and dtype != np.int32:
            return None
        to, said, scale = (_SAMPLE, "", 1.0) if fits else (FLOAT, "32 bits a sample are divided by 2^31", 2.0**31)
    else:
        return None
    several = len(shape) == 2

    def rows(values: np.ndarray) -> np.ndarray:
        waves = values.mean(axis=2 - at, dtype=np.float64) if several else values
        if to == _SAMPLE:
            return np.round(waves).astype(np.int16) if several else waves.astype(np.int16)
        return (waves / scale).astype(np.float32)

    note = f"{shape[1 - at]} channels are averaged" if several and shape[1 - at] != 1 else ""
    return Layout(
        field=Field(kind="audio", shape=(samples,), dtype=to), rows=rows, note="; ".join(filter(None, (note, said)))
    )


def _brief(shape: Sequence[Size]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
