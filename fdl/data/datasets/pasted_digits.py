"""Pasted digits: the handwritten digits of scikit-learn, several to a canvas, in many sizes, with a box around each.

Shape legend: S side of a canvas, N maximum number of boxes.
"""

from collections.abc import Mapping
from functools import cache

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import SPLITS
from fdl.data.dataset import Dataset, Source, Spec, columns
from fdl.data.datasets.digits import digits
from fdl.data.pixels import center_bytes

SIZES = {"train": 2000, "validation": 200, "test": 500}
_INK = 64  # of 255: what is fainter does not widen a box


def pasted_digits(*, side: int = 48, most: int = 4, sizes: Mapping[str, int] = SIZES, seed: int = 0) -> Dataset:
    """Return canvases: inputs f32[B, S, S, 1] in [-1, 1], one to `most` digits of 10 to 18 pixels each on faint noise.

    Targets are {"box": f32[B, N, 4], "label": i32[B, N], "row": i32[B]}: left, top, right and bottom of the ink as
    fractions of the canvas, all 0 where there is no further digit; the class; the canvas's place in the split. Patches
    share no pixel. A split is pasted from the digits of that split alone, so those of the test were never seen.
    """
    if side < 36 or most < 1:
        raise UserError(f"side {side} and most {most} do not fit; give a side of 36 or more and most of 1 or more")

    @cache
    def load(split: str) -> Source:
        images, labels = digits().load(split).resident().arrays
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        size = sizes[split]
        canvases = rng.integers(0, 40, (size, side, side, 1), np.uint8)
        boxes, classes = np.zeros((size, most, 4), np.float32), np.zeros((size, most), np.int32)
        for canvas, box, label in zip(canvases[..., 0], boxes, classes, strict=True):
            chosen = rng.integers(0, len(images), rng.integers(1, most + 1))
            found = _paste(rng, canvas, (255 * images[chosen, ..., 0]).astype(np.uint8))
            for place, (number, pixels) in enumerate(found):
                box[place], label[place] = np.asarray(pixels, np.float32) / side, labels[chosen[number]]
        return columns(canvases, {"box": boxes, "label": classes, "row": np.arange(size)})

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((side, side, 1), np.uint8),
        targets={
            "box": jax.ShapeDtypeStruct((most, 4), np.float32),
            "label": jax.ShapeDtypeStruct((most,), np.int32),
            "row": jax.ShapeDtypeStruct((), np.int32),
        },
        sizes=sizes,
        names=tuple("0123456789"),
    )
    return Dataset(name="pasted_digits", spec=spec, load=load, transform=center_bytes)


def _paste(
    rng: np.random.Generator, canvas: np.ndarray, patches: np.ndarray
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Paste each patch at a free position, in place; return its index and the bounding box of its ink in pixels."""
    from PIL import Image

    taken, found = np.zeros(canvas.shape, bool), []
    for number, patch in enumerate(patches):
        size = int(rng.integers(10, 19))
        drawn = np.asarray(Image.fromarray(patch).resize((size, size), Image.Resampling.BILINEAR))
        for _ in range(20):
            top, left = rng.integers(0, len(canvas) - size + 1, 2).tolist()
            here = np.s_[top : top + size, left : left + size]
            if not taken[here].any():
                canvas[here], taken[here] = np.maximum(canvas[here], drawn), True
                rows, across = (np.flatnonzero((drawn > _INK).any(axis)) for axis in (1, 0))
                ink = (left + across[0], top + rows[0], left + across[-1] + 1, top + rows[-1] + 1)
                found.append((number, ink))
                break
    return found
