"""Videos: any records with a video column as a dataset of u8[B, T, H, W, C], made float on the device.

Shape legend: B batch, T frames, H height, W width, C channels.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, LazySource, dataset_of
from fdl.data.decoded_cache import stored
from fdl.data.modalities.images import pixels_centered
from fdl.data.modalities.kept import keeps
from fdl.data.modalities.media_plan import VideoPlan, kept, taken
from fdl.data.modalities.targets import Goal, fit_target, supervised
from fdl.data.pixels import center_bytes
from fdl.data.records import Column, Records


def with_motion(dataset: Dataset) -> Dataset:
    """Return videos f32[B, T, H, W, 2C]: the dataset's, then these less their mean over time.

    What stands still is 0 in the second half, so that small movements before a still background are seen.
    """

    def transform(batch: Batch) -> Batch:
        films = (dataset.transform(batch) if dataset.transform else batch).inputs
        motion = films - jnp.mean(films, axis=1, keepdims=True)
        return batch._replace(inputs=jnp.concatenate([films, motion], axis=-1))

    return replace(dataset, transform=transform)


@keeps(pixels_centered)
def videos(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    goal: Goal = "auto",
    missing: Literal["refuse", "drop"] = "refuse",
    frames: int = 0,
    size: int = 0,
) -> Dataset:
    """Return videos with a class or a number each: inputs f32[B, T, H, W, C] in [-1, 1].

    frames: T, taken evenly spread over each video; 0 takes the length of the first training video.
    size:   the side that every frame is cut and resized to; 0 keeps the shape of the first.
    """
    records, column, goal_column = supervised(records, "video", inputs, target, goal, missing)
    target_of = fit_target(records, goal_column, goal)
    first = records.read("train", np.arange(1), (column,))[column][0]
    frame = taken(first, np.arange(min(1, len(first))))
    if frame.ndim != 4 or not len(frame) or frame.dtype != np.uint8:
        raise UserError(
            f"column {column!r} of {records.name} has videos of {frame.shape} {frame.dtype}, not u8[T, H, W, C]"
        )
    shape = (size or frame.shape[1], size or frame.shape[2], frame.shape[3])
    length = frames or len(first)
    if None in records.fields[column].shape[:3] and not (frames and size):
        records = records.noting(
            f"{column}: of every video {length} frames are taken, {shape[0]} x {shape[1]} as of the first; "
            "--frames=T and --size=N for others"
        )

    plan = VideoPlan(column=column, frames=length, shape=shape)

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        films = plan.encode(rows[column], lambda i: records.at(split, indices[i]))
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(films, targets, np.ones(len(indices), np.float32))

    spec = target_of.spec(
        jax.ShapeDtypeStruct((length, *shape), np.uint8),
        records.sizes,
    )

    def load(split: str) -> LazySource:
        key = f"{column} {goal_column} {length} {shape} {target_of.fitted}"
        return stored(records, spec, split, (column, goal_column), join, key=key)

    fitted = {"inputs": kept(plan), **target_of.kept}
    return dataset_of(records.noting(target_of.said), spec, load, fitted, transform=center_bytes)
