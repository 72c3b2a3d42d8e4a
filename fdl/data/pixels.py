"""Decode images of any format to u8[H, W, C]: EXIF orientation applied, 16 bits scaled, alpha composited on white.

Shape legend: H height, W width, C channels.
"""

import contextlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch

BYTE = np.dtype(np.uint8)
_PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN = {1: b"\x08\x00", 3: b"\x08\x02", 4: b"\x08\x06"}  # bits and colour type of a PNG, by its channels
_ORIENTATION = 0x0112  # EXIF's tag; 5 to 8 swap height and width
_TURNED = (5, 6, 7, 8)
_GRAY = ("1", "L", "LA", "La", "I", "F")


class Unreadable(ValueError):
    """An image, audio or video file cannot be read; the message is only the reason, in a few words."""


@dataclass(frozen=True, kw_only=True)
class PictureInfo:
    """Header information. channels: 1 for gray, 3 for colour. deep: more than 8 bits per channel."""

    height: int
    width: int
    channels: int
    deep: bool
    transparent: bool
    turned: bool
    animated: bool


def picture(item: str | bytes, channels: int | None) -> np.ndarray:
    """Return u8[H, W, C] of a file or of its bytes, or raise Unreadable; channels None keeps gray or colour."""
    with reasons(item):
        return decode_image(_content(item), channels)


def picture_info(item: str | bytes) -> PictureInfo:
    """Return the header information of a file, or of its bytes; raise Unreadable."""
    from PIL import Image

    with reasons(item), Image.open(_source(item)) as opened:
        orientation = _orientation(opened)
        width, height = opened.size
        if orientation in _TURNED:
            height, width = width, height
        _refuse_32_bits(opened)
        return PictureInfo(
            height=height,
            width=width,
            channels=channels_of(opened),
            deep=opened.mode.startswith("I"),
            transparent=opened.has_transparency_data,
            turned=orientation in range(2, 9),
            animated=getattr(opened, "is_animated", False),
        )


def decode_image(data: bytes, channels: int | None, dtype: np.dtype = BYTE) -> np.ndarray:
    """Return u8[H, W, C] (or u16, or f32 that TFDS keeps as four bytes) of an encoded image.

    A camera's EXIF orientation is applied. To bytes: 16 bits are divided by 256, and transparent pixels are composited
    on white unless four channels are wanted.
    """
    if dtype == np.uint8 and (plain := _plain_png(data, channels)) is not None:
        return plain
    from PIL import Image, ImageOps

    opened: Any = Image.open(io.BytesIO(data))  # which leaves no file open
    if _orientation(opened) != 1:
        opened = ImageOps.exif_transpose(opened)
    image = np.asarray(opened if dtype != np.uint8 else eight_bit(opened, channels))
    if dtype == np.float32:
        return image.view(np.float32)
    return image[..., None] if image.ndim == 2 else image


def eight_bit(opened: Any, channels: int | None) -> Any:
    """Return a Pillow image as one of mode L, RGB or RGBA, for 1, 3 or 4 channels; None: L of gray, RGB of colour."""
    from PIL import Image

    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels or channels_of(opened), opened.mode)
    _refuse_32_bits(opened)
    if opened.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
        opened = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
    if mode != "RGBA" and opened.has_transparency_data:
        white = Image.new("RGBA", opened.size, "white")
        opened = Image.alpha_composite(white, opened.convert("RGBA"))
    return opened if opened.mode == mode else opened.convert(mode)


def channels_of(opened: Any) -> int:
    """Return how many channels a Pillow image has beside its alpha: 1 of gray, 3 of colour."""
    return 1 if opened.mode in _GRAY or opened.mode.startswith("I;16") else 3


def _orientation(opened: Any) -> int:
    """Return EXIF's orientation, 1 where there is none; a PNG's if it stands before the pixels: none is decoded."""
    if opened.format == "PNG" and "exif" not in opened.info:
        return 1
    return int(opened.getexif().get(_ORIENTATION, 1))


def _refuse_32_bits(opened: Any) -> None:
    """Raise where a pixel has 32 bits: no rule says which of its values is white. (16 bits of a PNG were I once.)"""
    if opened.mode == "F" or (opened.mode == "I" and opened.format not in ("PNG", "PPM")):
        raise Unreadable(f"32 bits a pixel, Pillow's mode {opened.mode}: save it with 8 or 16 bits")


def _source(item: str | bytes) -> Any:
    return io.BytesIO(item) if isinstance(item, bytes) else item


def _content(item: str | bytes) -> bytes:
    if isinstance(item, bytes):
        return item
    with open(item, "rb") as file:
        return file.read()


@contextlib.contextmanager
def reasons(item: str | bytes) -> Iterator[None]:
    """Turn whatever Pillow raises at a picture that it cannot read into Unreadable with a short reason."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("no such file, a broken link") from None
    except UnidentifiedImageError:
        size = len(item) if isinstance(item, bytes) else os.path.getsize(item)
        raise Unreadable("no picture" if size else "empty") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except Exception as error:  # a decoder meets a damaged file with any error that there is
        raise Unreadable(f"damaged: {(str(error).splitlines() or [type(error).__name__])[0]}") from None


def center_bytes(batch: Batch) -> Batch:
    """Scale bytes to floats in [-1, 1] on the device, after the transfer as bytes."""
    return batch._replace(inputs=batch.inputs.astype(jnp.float32) / 127.5 - 1)


def fitted_image(image: np.ndarray, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """Return the image in this shape, as `fit` makes it, or raise a ValueError."""
    fitted = fit(image, shape)
    if fitted.shape != shape:
        raise UserError(
            f"{where}: image of {image.shape} {image.dtype} among images of {shape}; convert it to {shape[-1]} channels"
        )
    return fitted


def fit(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Cut the middle of the wanted proportions out of an image and resize it.

    One that has the shape already stays as it is, and so does one of other channels or other numbers than bytes.
    """
    if image.shape == shape or image.shape[-1] != shape[-1] or image.dtype != np.uint8:
        return image
    from PIL import Image, ImageOps

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return np.asarray(ImageOps.fit(picture, (shape[1], shape[0]), Image.Resampling.BILINEAR)).reshape(shape)


@cache
def _spng() -> Callable[[bytes], np.ndarray] | None:
    """Return the decoder of pyspng where that is installed: it takes a quarter of Pillow's time for small images."""
    try:
        from pyspng import load
    except ImportError:
        return None
    decode: Callable[[bytes], np.ndarray] = load
    return decode


def _plain_png(data: bytes, channels: int | None) -> np.ndarray | None:
    """Return a PNG of whole bytes and as many channels as wanted, by pyspng; None where Pillow is to decode."""
    load = _spng()
    if load is None or data[:8] != _PNG or data[24:26] != _PLAIN.get(channels or 0) or not _is_plain(data):
        return None
    try:
        image = load(data)
    except RuntimeError:  # damaged, as Pillow will say
        return None
    return image[..., None] if image.ndim == 2 else image


def _is_plain(data: bytes) -> bool:
    """Say whether a PNG is neither transparent nor turned, and every chunk has its checksum: pyspng looks at none."""
    at, kind = len(_PNG), b""
    while at + 12 <= len(data) and kind != b"IEND":
        end = at + 8 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind in (b"tRNS", b"eXIf") or zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        at = end + 4
    return kind == b"IEND"
