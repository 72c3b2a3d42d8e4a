"""Images: any records with an image column as a dataset of u8[B, H, W, C], made float on the device."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data.records import Column, Records, complete
from fdl.data.source import Augment, Dataset, LazySource, dataset_of
from fdl.data.stored import stored
from fdl.data.targets import TARGETS, Goal, fit_target
from fdl.types import Batch


def images(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    size: int = 0,
    goal: Goal = "auto",
    augment: Augment | None = None,
) -> Dataset:
    """Return images with a class or a number each: inputs f32[B, H, W, C] in [-1, 1] where the set holds bytes.

    size: the side that every image is cut and resized to; 0 keeps the shape that all share, or 64 if they differ.
    """
    column = records.choose(inputs, "inputs", ("image",))
    goal_column = records.choose(target, "target", TARGETS, besides=(column,))
    records = complete(records)
    field, target_of = records.fields[column], fit_target(records, goal_column, goal)
    height, width, channels = (*field.shape, None)[:3]
    if channels is None:
        channels = records.read("train", np.arange(1), (column,))[column][0].shape[-1]
    if size or height is None or width is None:
        height = width = size or 64
    shape = (height, width, channels)

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        pictures = [
            image if image.shape == shape else fitted_image(image, shape, records.at(split, i))
            for image, i in zip(rows[column], indices, strict=True)
        ]
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(np.stack(pictures), targets, np.ones(len(indices), np.float32))

    spec = target_of.spec(
        jax.ShapeDtypeStruct(shape, field.dtype),
        records.sizes,
    )

    def load(split: str) -> LazySource:
        key = f"{column} {goal_column} {shape} {target_of.fitted}"
        return stored(records, spec, split, (column, goal_column), join, key=key, sizes={column: shape})

    transform = center_bytes if field.dtype == np.uint8 else None
    return dataset_of(records, spec, load, target_of.fitted, transform=transform, augment=augment)


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
