"""Images: any records with an image column as a dataset of u8[B, H, W, C], made float on the device."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, LazySource, dataset_of
from fdl.data.decoded_cache import stored
from fdl.data.fingerprint import array_digest
from fdl.data.modalities.kept import KeptDataset, keeps
from fdl.data.modalities.media_plan import ImagePlan, kept
from fdl.data.modalities.targets import Goal, fit_target, supervised
from fdl.data.pixels import center_bytes
from fdl.data.readers.npz import array_records
from fdl.data.records import Column, Records

_SIZE = 64  # what pictures of several sizes are made


def pixels_centered(kept: KeptDataset, **_: Any) -> dict[str, Any]:
    """Return the transform of bytes, None of pictures that are floats already."""
    return {"transform": center_bytes if kept.spec.inputs.dtype == np.uint8 else None}


@keeps(pixels_centered)
def images(
    records: Records | np.ndarray,
    labels: Any = None,
    *,
    inputs: str = "",
    target: str = "",
    size: int = 0,
    goal: Goal = "auto",
    missing: Literal["refuse", "drop"] = "refuse",
) -> Dataset:
    """Return images with a class or a number each: inputs f32[B, H, W, C] in [-1, 1] where the set holds bytes.

    records: rows with a column of images, or an array of them in any layout that files have (`readers.array_layout`).
    labels:  of an array, the class, its name or the number of each.
    size: the side that every image is cut and resized to; 0 keeps the shape that all share, or 64 if they differ.
    """
    if not isinstance(records, Records):
        records = in_memory(records, labels)
    records, column, goal_column = supervised(records, "image", inputs, target, goal, missing)
    field, target_of = records.fields[column], fit_target(records, goal_column, goal)
    height, width, channels = (*field.shape, None)[:3]
    if channels is None:
        channels = records.read("train", np.arange(1), (column,))[column][0].shape[-1]
    if size or height is None or width is None:
        height = width = size or _SIZE
        if not size:
            records = records.noting(f"{column}: pictures are cut and resized to {_SIZE} x {_SIZE}; --size=N for N x N")
    shape = (height, width, channels)
    plan = ImagePlan(column=column, shape=shape)

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        pictures = plan.encode(rows[column], lambda i: records.at(split, indices[i]))
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(pictures, targets, np.ones(len(indices), np.float32))

    spec = target_of.spec(
        jax.ShapeDtypeStruct(shape, field.dtype),
        records.sizes,
    )

    def load(split: str) -> LazySource:
        key = f"{column} {goal_column} {shape} {target_of.fitted}"
        return stored(records, spec, split, (column, goal_column), join, key=key, sizes={column: shape})

    transform = center_bytes if field.dtype == np.uint8 else None
    fitted = {"inputs": kept(plan), **target_of.kept}
    return dataset_of(records.noting(target_of.said), spec, load, fitted, transform=transform)


def in_memory(pictures: Any, labels: Any) -> Records:
    """Return the records of an array of pictures and their labels, with the columns `image` and `label`."""
    if labels is None or np.ndim(labels) == 0:
        raise UserError("images of an array need their labels; give images(arrays, labels)")
    try:
        given = {"image": np.asarray(pictures), "label": np.asarray(labels)}
    except ValueError:  # arrays of several shapes
        raise UserError("images have several shapes; give all one, or a folder of files for each class") from None
    return array_records("images", given, page="image", digest=cache(lambda: array_digest(given.values())))
