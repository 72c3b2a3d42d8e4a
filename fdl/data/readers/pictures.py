"""Encoded pictures as one column: size and channels are decided over all of them, and said.

Sizes are height x width of the upright picture: a camera's EXIF orientation is applied.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, partial

import numpy as np

from fdl.data.pixels import PictureInfo, Unreadable, picture, picture_info
from fdl.data.readers.media import LOOKED_AT, Failures, Items, Media
from fdl.data.records import Field

_USUAL = 0.9  # a size that so many pictures have is that of all: the others are cut and resized
_RARE = 0.01  # colour pictures below this share do not make the gray ones colour as well
# What Pillow knows by name without decoding it, and what holds films or documents.
_NOT_READ = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PCD", "PDF", "WMF"}


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes, in small letters, of the files that Pillow reads."""
    from PIL import Image

    names = Image.registered_extensions()
    return frozenset(suffix for suffix, name in names.items() if name in Image.OPEN and name not in _NOT_READ)


def pictures(items: Items) -> Media:
    """Return the column of these pictures, u8[H, W, C]; raise a ValueError that lists what cannot be read."""
    infos = _look(items)
    colour = sum(info.channels == 3 for info in infos)
    channels = 3 if colour >= max(1, _RARE * len(infos)) else 1
    sizes = Counter((info.height, info.width) for info in infos)
    (height, width), most = sizes.most_common(1)[0]
    same = most >= _USUAL * len(infos)
    return Media(
        field=Field(
            kind="image",
            shape=(height, width, channels) if same else (None, None, channels),
            dtype=np.dtype(np.uint8),
        ),
        decode=partial(picture, channels=channels),
        notes=tuple(_notes(items, infos, sizes, colour, channels)),
    )


def _look(items: Items) -> list[PictureInfo]:
    """Return what the headers say, of at most 16,384 pictures that are evenly spread."""
    infos = []
    for split, index in items.places(LOOKED_AT):
        try:
            infos.append(picture_info(items.get(split, index)))
        except Unreadable as error:  # then the rest is decoded as well, so that one run names them all
            raise Failures(items, partial(picture, channels=None)).error(str(error)) from None
    return infos


def _notes(
    items: Items, infos: Sequence[PictureInfo], sizes: Counter[tuple[int, int]], colour: int, channels: int
) -> Iterator[str]:
    count = sum(items.sizes.values())
    if len(infos) < count:
        yield f"the headers of {len(infos):,} of {count:,} {items.what} were looked at"
    if len(sizes) > 1:
        (height, width), most = sizes.most_common(1)[0]
        heights, widths = (sorted(size[i] for size in sizes) for i in (0, 1))
        yield (
            f"{len(sizes):,} sizes, {heights[0]} to {heights[-1]} high and {widths[0]} to {widths[-1]} wide; "
            f"{most:,} of {len(infos):,} are {height} x {width} (height x width)"
        )
    if 0 < colour < len(infos):
        gray = len(infos) - colour
        yield f"gray pictures: {gray:,}, colour: {colour:,}; all are read as {'colour' if channels == 3 else 'gray'}"
    for name, what in (
        ("deep", "of 16 bits a channel, divided by 256 to 8 bits"),
        ("transparent", "with transparency, composited on white"),
        ("turned", "turned upright, as their EXIF orientation says"),
        ("animated", "with several frames, of which the first is read"),
    ):
        if some := sum(getattr(info, name) for info in infos):
            yield f"{items.what} {what}: {some:,}"
