"""Encoded sounds as one column of waveforms, each read by libsndfile with the rate it carries.

Shape legend: T samples.
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any

import numpy as np

from fdl.core.errors import UserError
from fdl.data.pixels import Unreadable
from fdl.data.readers.media import LOOKED_AT, Failures, Item, Items, Media
from fdl.data.records import Field

SOUNDS = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"})
_SIXTEEN_BITS = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW"})


@dataclass(frozen=True, kw_only=True)
class SoundInfo:
    """What a header says. rate: samples per second. exact: 16 bits hold every sample."""

    rate: int
    channels: int
    samples: int
    exact: bool


def recordings(items: Items) -> Media:
    """Return the column of these sounds: one channel, i16[T] where 16 bits hold all samples, else f32[T] in [-1, 1]."""
    infos = _look(items)
    rate = Counter(info.rate for info in infos).most_common(1)[0][0]
    dtype = np.dtype(np.int16 if all(info.exact for info in infos) else np.float32)
    return Media(
        field=Field(kind="audio", shape=(None,), dtype=dtype, rate=rate),
        decode=partial(sound, rate=rate, dtype=dtype),
        notes=tuple(_notes(items, infos, rate)),
    )


def sound(item: Item, *, rate: int, dtype: np.dtype) -> np.ndarray:
    """Return one channel of a file or of its bytes at `rate` samples per second, or raise Unreadable.

    Several channels are averaged. Another rate is resampled by scipy's polyphase filter.
    """
    soundfile = _soundfile()
    try:
        waves, own = soundfile.read(_source(item), dtype="int16" if dtype == np.int16 else "float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise Unreadable(_reason(item, error)) from None
    if not len(waves):
        raise Unreadable("no samples")
    wave = waves[:, 0] if waves.shape[1] == 1 else waves.mean(1, dtype=np.float64)
    return as_dtype(resampled(wave, own, rate), dtype)


def sound_info(item: Item) -> SoundInfo:
    """Return what the header of a file, or of its bytes, says; raise Unreadable."""
    soundfile = _soundfile()
    try:
        info = soundfile.info(_source(item))
    except (soundfile.SoundFileError, OSError) as error:
        raise Unreadable(_reason(item, error)) from None
    if not info.frames:
        raise Unreadable("no samples")
    return SoundInfo(
        rate=info.samplerate, channels=info.channels, samples=info.frames, exact=info.subtype in _SIXTEEN_BITS
    )


def resampled(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Return [T] samples at `wanted` per second of samples at `rate` per second; the same array where they are one."""
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly

    factor = gcd(rate, wanted)
    result: np.ndarray = resample_poly(wave.astype(np.float64), wanted // factor, rate // factor)
    return result


def as_dtype(wave: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return samples in this dtype: rounded to the nearest of 16 bits, whose ends a filter may pass by a little."""
    if dtype == np.int16 and wave.dtype != np.int16:
        return np.clip(np.round(wave), -(2**15), 2**15 - 1).astype(np.int16)
    return wave.astype(dtype, copy=False)


def _look(items: Items) -> list[SoundInfo]:
    infos = []
    for split, index in items.places(LOOKED_AT):
        try:
            infos.append(sound_info(items.get(split, index)))
        except Unreadable as error:
            decode = partial(sound, rate=16000, dtype=np.dtype(np.float32))
            raise Failures(items, decode).error(str(error)) from None
    return infos


def _notes(items: Items, infos: Sequence[SoundInfo], rate: int) -> Iterator[str]:
    count = sum(items.sizes.values())
    if len(infos) < count:
        yield f"the headers of {len(infos):,} of {count:,} {items.what} were looked at"
    shortest, longest = (pick(info.samples / info.rate for info in infos) for pick in (min, max))
    length = f"of {shortest:.3g} s" if shortest == longest else f"of {shortest:.3g} to {longest:.3g} s"
    yield f"{count:,} {items.what} {length}, {rate:,} samples a second"
    if others := Counter(info.rate for info in infos if info.rate != rate):
        rates = ", ".join(f"{some:,} of {other:,}" for other, some in sorted(others.items()))
        yield f"{rates} samples a second are resampled to {rate:,}, which most have"
    if several := sum(info.channels > 1 for info in infos):
        yield f"{several:,} of {len(infos):,} {items.what} have several channels: they are averaged"


def _source(item: Item) -> Any:
    return io.BytesIO(item) if isinstance(item, bytes) else item


def _reason(item: Item, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file, a broken link"
    said = str(error).removeprefix(f"Error opening {item!r}: ").splitlines()
    return f"no sound that libsndfile reads: {said[-1]}" if said else "no sound"


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise UserError("sounds need soundfile; run: pip install 'fdl[audio]'") from error
    return soundfile
