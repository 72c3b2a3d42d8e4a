"""Videos: any records with a video column as a dataset of u8[B, T, H, W, C], made float on the device.

Shape legend: B batch, T frames, H height, W width, C channels.
"""

from collections.abc import Mapping

import jax
import numpy as np

from fdl.core.types import Batch
from fdl.data.dataset import Augment, Dataset, LazySource, dataset_of
from fdl.data.decoded_cache import stored
from fdl.data.modalities.targets import TARGETS, Goal, fit_target
from fdl.data.pixels import center_bytes, fitted_image
from fdl.data.records import Column, Records, complete


def videos(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    goal: Goal = "auto",
    frames: int = 0,
    size: int = 0,
    augment: Augment | None = None,
) -> Dataset:
    """Return videos with a class or a number each: inputs f32[B, T, H, W, C] in [-1, 1].

    frames: T, taken evenly spread over each video; 0 takes the length of the first training video.
    size:   the side that every frame is cut and resized to; 0 keeps the shape of the first.
    """
    column = records.choose(inputs, "inputs", ("video",))
    goal_column = records.choose(target, "target", TARGETS, besides=(column,))
    records = complete(records)
    target_of = fit_target(records, goal_column, goal)
    first = np.asarray(records.read("train", np.arange(1), (column,))[column][0])
    if first.ndim != 4 or not len(first) or first.dtype != np.uint8:
        raise ValueError(
            f"column {column!r} of {records.name} has videos of {first.shape} {first.dtype}, not u8[T, H, W, C]"
        )
    shape = (size or first.shape[1], size or first.shape[2], first.shape[3])
    length = frames or len(first)

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        films = []
        for film, index in zip(rows[column], indices, strict=True):
            where = records.at(split, index)
            if not len(film):
                raise ValueError(f"{where}: {column} has no frames; leave such examples out")
            chosen = np.linspace(0, len(film) - 1, length).round().astype(int)
            films.append(np.stack([fitted_image(np.asarray(film[i]), shape, where) for i in chosen]))
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(np.stack(films), targets, np.ones(len(indices), np.float32))

    spec = target_of.spec(
        jax.ShapeDtypeStruct((length, *shape), np.uint8),
        records.sizes,
    )

    def load(split: str) -> LazySource:
        key = f"{column} {goal_column} {length} {shape} {target_of.fitted}"
        return stored(records, spec, split, (column, goal_column), join, key=key)

    return dataset_of(records, spec, load, target_of.fitted, transform=center_bytes, augment=augment)
