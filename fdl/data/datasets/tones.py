"""Synthetic tones: a voice with random pitch and loudness in one of the four tones of Mandarin, with noise.

Shape legend: T samples.
"""

from functools import cache
from typing import Any

import numpy as np

from fdl.core.types import SPLITS
from fdl.data.records import Field, Records

NAMES = ("level", "rising", "dipping", "falling")
RATE = 8000
_HARMONICS = np.arange(1, 9)


def tones(*, size: int = 1000, noise: float = 0.1, seed: int = 0) -> Records:
    """Return records with `sound: i16[T]` of 0.3 to 0.5 seconds at 8,000 samples per second, and its `tone`.

    noise: standard deviation of the noise, where the voice has one. Validation and test have a quarter of `size` each.
    """
    sizes = {"train": size, "validation": size // 4, "test": size // 4}

    @cache
    def rows(split: str) -> dict[str, list[Any]]:
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        labels = rng.integers(0, len(NAMES), sizes[split]).tolist()
        return {"sound": [_sing(rng, label, noise) for label in labels], "tone": labels}

    return Records(
        name="tones",
        fields={
            "sound": Field(kind="audio", shape=(None,), dtype=np.dtype(np.int16), rate=RATE),
            "tone": Field(kind="label", dtype=np.dtype(np.int32), classes=len(NAMES), names=NAMES),
        },
        sizes=sizes,
        read=lambda split, indices, names: {name: [rows(split)[name][i] for i in indices] for name in names},
        supervised=("sound", "tone"),
        fingerprint=lambda: f"tones {size} {noise} {seed}",
    )


def _sing(rng: np.random.Generator, label: int, noise: float) -> np.ndarray:
    count = int(RATE * rng.uniform(0.3, 0.5))
    at = np.linspace(0, 1, count)
    contour = (np.ones(count), 0.8 + 0.4 * at, 1 - 0.9 * at + 0.9 * at**2, 1.2 - 0.4 * at)[label]
    pitch = rng.uniform(100, 250) * contour
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    strength = rng.uniform(0.2, 1, len(_HARMONICS)) / _HARMONICS
    voice = (strength[:, None] * np.sin(_HARMONICS[:, None] * phase[None])).sum(0)
    voice = voice / voice.std() * np.sin(np.pi * at) ** 0.5
    loud = rng.uniform(1000, 4000)
    result: np.ndarray = np.clip(loud * (voice + noise * rng.standard_normal(count)), -32768, 32767).astype(np.int16)
    return result
