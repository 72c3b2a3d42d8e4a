"""Encoded videos as one column of clips, of which only the wanted frames are kept in memory.

A clip is a video file (by PyAV), an animated picture or a folder of pictures (by Pillow).

Shape legend: n wanted frames, H height, W width.
"""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.pixels import Unreadable, eight_bit, picture, reasons
from fdl.data.readers.class_folder import natural
from fdl.data.readers.media import Failures, Item, Items, Media
from fdl.data.readers.pictures import picture_suffixes
from fdl.data.records import Field

ANIMATED = frozenset({".gif", ".webp", ".apng"})
FILMS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"})
CLIPS = ANIMATED | FILMS
_LOOKED_AT = 256  # clips that are opened at the start, some milliseconds each
_DECODED = 0.9  # of the frames that a header promises: some formats only estimate them


class Clip:
    """The frames of one video: `len(clip)`, and `clip[indices]` decodes u8[n, H, W, 3].

    failed: `reason -> error`, where it cannot be read.
    """

    def __init__(self, item: Item, failed: Callable[[str], ValueError]):
        self.item, self.failed = item, failed

    def __len__(self) -> int:
        try:
            return clip_info(self.item)[0]
        except Unreadable as error:
            raise self.failed(str(error)) from None

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        try:
            return frames(self.item, np.asarray(indices))
        except Unreadable as error:
            raise self.failed(str(error)) from None


def clips(items: Items) -> Media:
    """Return the column of these videos: a `Clip` each, of u8[T, H, W, 3]."""
    infos = _look(items)
    (height, width), _ = Counter((height, width) for _, height, width in infos).most_common(1)[0]
    same = len({info[1:] for info in infos}) == 1
    failed = Failures(items, _whole)
    return Media(
        field=Field(
            kind="video",
            shape=(None, height, width, 3) if same else (None, None, None, 3),
            dtype=np.dtype(np.uint8),
        ),
        decode=lambda item: Clip(item, failed.error),
        notes=tuple(_notes(items, infos)),
    )


def clip_info(item: Item) -> tuple[int, int, int]:
    """Return how many frames a video has, their height and their width; raise Unreadable."""
    if isinstance(item, str) and os.path.isdir(item):
        pictures = frame_files(item)
        return len(pictures), *picture(pictures[0], 3).shape[:2]
    if _is_animated(item):
        from PIL import Image

        with reasons(item), Image.open(_source(item)) as opened:
            return getattr(opened, "n_frames", 1), opened.height, opened.width
    with _opened(item) as container:
        first = next(container.decode(video=0), None)
        if first is None:
            raise Unreadable("no frames")
        height, width = _upright(first).shape[:2]
        count = container.streams.video[0].frames or 1 + sum(1 for _ in container.decode(video=0))
        return count, height, width


def frames(item: Item, indices: np.ndarray) -> np.ndarray:
    """Return u8[n, H, W, 3], the frames of a video by number; raise Unreadable."""
    if isinstance(item, str) and os.path.isdir(item):
        pictures = frame_files(item)
        shots = {i: picture(pictures[i], 3) for i in set(indices.tolist())}
    else:
        shots = _animated(item, indices) if _is_animated(item) else _film(item, indices)
    if len({shot.shape for shot in shots.values()}) > 1:
        raise Unreadable("its frames have several sizes")
    return np.stack([shots[i] for i in indices.tolist()])


@cache
def frame_files(folder: str) -> list[str]:
    """Return the pictures of a folder in the order of the numbers in their names: 9.png before 10.png."""
    found = [
        entry.path
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in picture_suffixes()
    ]
    return sorted(found, key=natural)


def _animated(item: Item, indices: np.ndarray) -> dict[int, np.ndarray]:
    from PIL import Image

    shots = {}
    with reasons(item), Image.open(_source(item)) as opened:
        for i in sorted(set(indices.tolist())):
            opened.seek(i)
            shots[i] = np.asarray(eight_bit(opened, 3))
    return shots


def _film(item: Item, indices: np.ndarray) -> dict[int, np.ndarray]:
    wanted, promised, seen, shots = set(indices.tolist()), 0, 0, {}
    with _opened(item) as container:
        promised = container.streams.video[0].frames
        last = None
        for seen, frame in enumerate(container.decode(video=0), start=1):
            last = frame
            if seen - 1 in wanted:
                shots[seen - 1] = _upright(frame)
        if last is None or seen < _DECODED * promised:
            raise Unreadable(f"damaged: {seen} of {promised} frames can be decoded")
        end = _upright(last)
    return {i: shots.get(i, end) for i in wanted}


def _upright(frame: Any) -> np.ndarray:
    """Return u8[H, W, 3] of a frame, turned as a telephone's sensor was held."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), k=(frame.rotation // 90) % 4))


def _opened(item: Item) -> Any:
    """Return a context that gives the container of a film; whatever goes wrong in it is Unreadable."""
    return _Opened(item)


class _Opened:
    def __init__(self, item: Item):
        self.item = item

    def __enter__(self) -> Any:
        av = _av()
        try:
            self.container = av.open(_source(self.item))
            self.container.streams.video[0].thread_type = "AUTO"
        except FileNotFoundError:
            raise Unreadable("no such file, a broken link") from None
        except (av.FFmpegError, IndexError, OSError, ValueError) as error:
            raise Unreadable(f"no video that FFmpeg reads: {error}") from None
        return self.container

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.container.close()
        if error is not None and not isinstance(error, Unreadable) and isinstance(error, _av().FFmpegError):
            raise Unreadable(f"damaged: {error}") from None


def _whole(item: Item) -> np.ndarray:
    count, _, _ = clip_info(item)
    return frames(item, np.arange(count)[-1:])  # decodes all before it as well


def _is_animated(item: Item) -> bool:
    if isinstance(item, bytes):
        return item[:4] in (b"GIF8", b"RIFF") and item[8:12] != b"AVI "
    return Path(item).suffix.lower() in ANIMATED


def _look(items: Items) -> list[tuple[int, int, int]]:
    infos = []
    for split, index in items.places(_LOOKED_AT):
        try:
            infos.append(clip_info(items.get(split, index)))
        except Unreadable as error:
            raise Failures(items, _whole).error(str(error)) from None
    return infos


def _notes(items: Items, infos: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    count = sum(items.sizes.values())
    if len(infos) < count:
        yield f"{len(infos):,} of {count:,} {items.what} were opened to see their sizes"
    lengths = [info[0] for info in infos]
    span = f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
    sizes = Counter((height, width) for _, height, width in infos)
    (height, width), most = sizes.most_common(1)[0]
    shape = (
        f"{height} x {width}" if len(sizes) == 1 else f"{len(sizes)} sizes, {most} of {len(infos)} {height} x {width}"
    )
    yield f"{count:,} {items.what} of {span} frames, {shape} (height x width)"


def _source(item: Item) -> Any:
    return io.BytesIO(item) if isinstance(item, bytes) else item


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("video files need PyAV; run: pip install 'fdl[video]'") from error
    return av
