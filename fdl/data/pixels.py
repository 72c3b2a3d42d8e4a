"""Pixels: encoded images decoded, and cropped or resized to one size."""

import io
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from fdl.core.types import Batch


def picture(file: Path, channels: int) -> np.ndarray:
    """Return u8[H, W, C] of a file, or raise a ValueError that names it."""
    try:
        return decode_image(file.read_bytes(), channels)
    except OSError as error:
        raise ValueError(f"{file} is no image or is damaged; mend or remove it") from error


def center_bytes(batch: Batch) -> Batch:
    """Turn bytes into floats in [-1, 1] on the device, after they crossed to it as bytes."""
    return batch._replace(inputs=batch.inputs.astype(jnp.float32) / 127.5 - 1)


def fitted_image(image: np.ndarray, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """Return the image in this shape, as `fit` makes it, or raise a ValueError."""
    fitted = fit(image, shape)
    if fitted.shape != shape:
        raise ValueError(
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


BYTE = np.dtype(np.uint8)


_PNG = b"\x89PNG\r\n\x1a\n"


_PLAIN = {1: b"\x08\x00", 3: b"\x08\x02", 4: b"\x08\x06"}  # bits and colour type of a PNG, by its channels


def decode_image(data: bytes, channels: int | None, dtype: np.dtype = BYTE) -> np.ndarray:
    """Return u8[H, W, C] (or u16, or f32 that TFDS keeps as four bytes) of an encoded image."""
    if dtype == np.uint8 and (plain := _plain_png(data, channels)) is not None:
        return plain
    from PIL import Image

    picture = Image.open(io.BytesIO(data))  # which leaves no file open
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels or 0, picture.mode)
    image = np.asarray(picture if picture.mode == mode or dtype != np.uint8 else picture.convert(mode))
    if dtype == np.float32:
        return image.view(np.float32)
    return image[..., None] if image.ndim == 2 else image


@cache
def _spng() -> Callable[[bytes], np.ndarray] | None:
    """Return the decoder of pyspng where that is installed: it takes a quarter of Pillow's time for small images."""
    try:
        from pyspng import load
    except ImportError:
        return None
    return load


def _plain_png(data: bytes, channels: int | None) -> np.ndarray | None:
    """Return a PNG of whole bytes and as many channels as wanted, by pyspng; None where Pillow is to decode."""
    load = _spng()
    if load is None or data[:8] != _PNG or data[24:26] != _PLAIN.get(channels or 0) or not _is_whole(data):
        return None
    try:
        image = load(data)
    except RuntimeError:  # damaged, as Pillow will say
        return None
    return image[..., None] if image.ndim == 2 else image


def _is_whole(data: bytes) -> bool:
    """Say whether every chunk of a PNG up to the last has the checksum that it brings along: pyspng does not look."""
    at, kind = len(_PNG), b""
    while at + 12 <= len(data) and kind != b"IEND":
        end = at + 8 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        at = end + 4
    return kind == b"IEND"
