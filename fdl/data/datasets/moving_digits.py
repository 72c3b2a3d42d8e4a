"""Moving digits: the handwritten digits of scikit-learn, each drifting through a larger frame one of four ways.

Shape legend: T frames, H height, W width.
"""

from functools import cache
from typing import Any

import numpy as np

from fdl.core.types import SPLITS
from fdl.data.datasets.digits import digits
from fdl.data.records import Field, Records

NAMES = ("left", "right", "up", "down")
_STEPS = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]])


def moving_digits(*, frames: int = 6, side: int = 16, seed: int = 0) -> Records:
    """Return records with `video: u8[T, H, W, 1]`, its `direction` and its `digit`; one for each of the 1,797 images.

    A digit begins anywhere and comes in again at the other side when it leaves. Splits are those of the digits.
    """
    sizes = dict(digits(seed=seed).spec.sizes)

    @cache
    def rows(split: str) -> dict[str, list[Any]]:
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        images, labels = digits(seed=seed).load(split).resident().arrays
        ways = rng.integers(0, len(NAMES), len(images))
        films = []
        for image, way, start in zip(images, ways, rng.integers(0, side, (len(images), 2)), strict=True):
            frame = np.zeros((side, side, 1), np.uint8)
            frame[:8, :8] = (255 * image).astype(np.uint8)
            films.append(np.stack([np.roll(frame, tuple(start + t * _STEPS[way]), (0, 1)) for t in range(frames)]))
        return {"video": films, "direction": ways.tolist(), "digit": labels.tolist()}

    return Records(
        name="moving_digits",
        fields={
            "video": Field(kind="video", shape=(frames, side, side, 1), dtype=np.dtype(np.uint8)),
            "direction": Field(kind="label", dtype=np.dtype(np.int32), classes=4, names=NAMES),
            "digit": Field(kind="label", dtype=np.dtype(np.int32), classes=10, names=tuple("0123456789")),
        },
        sizes=sizes,
        read=lambda split, indices, names: {name: [rows(split)[name][i] for i in indices] for name in names},
        supervised=("video", "direction"),
        fingerprint=lambda: f"moving digits {frames} {side} {seed}",
    )
