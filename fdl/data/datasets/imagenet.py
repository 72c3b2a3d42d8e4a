"""ImageNet, or any set of photographs in its form, as published weights expect them; made-up ones to measure speed."""

from dataclasses import replace
from typing import Literal

import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.data.augment import augment_images
from fdl.data.dataset import Dataset
from fdl.data.datasets.synthetic import synthetic
from fdl.data.modalities.images import images
from fdl.data.pixels import center_bytes
from fdl.data.readers.find import find

# Of the training images, red green blue in [0, 1]: what the weights of torchvision were trained with.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def imagenet(
    dataset: str = "",
    *,
    inputs: str = "",
    target: str = "",
    size: int = 224,
    colours: Literal["imagenet", "centered"] = "imagenet",
    seed: int = 0,
) -> Dataset:
    """Return images with a class each: inputs f32[B, size, size, 3], gray as three equal colours.

    dataset: a TFDS name (`imagenet2012`), a prepared TFDS folder, a folder of images by class, or another of `find`;
        without one, images of 1000 classes are made up.
    inputs, target: its columns; inferred where only one fits.
    colours: as the weights were trained: standardised by ImageNet's, or in [-1, 1].
    """
    if not dataset:
        return synthetic((size, size, 3), classes=1000, size=512, seed=seed)
    records = find(dataset, kind="image")
    data = images(records, inputs=inputs, target=target, size=size, goal="classify")
    if data.transform is None or data.spec.inputs.shape[-1] not in (1, 3):
        raise UserError(f"{dataset} holds no gray or colour images of bytes; try the page `image`")
    scaled = standardise if colours == "imagenet" else centre
    return replace(data.augmented(augment_images(shift=0.125, flip=True)), transform=scaled)


def standardise(batch: Batch) -> Batch:
    """Turn bytes u8[B, H, W, 1 or 3] into f32[B, H, W, 3] of mean 0 and deviation 1 over ImageNet, on the device."""
    colours = jnp.asarray(batch.inputs).astype(jnp.float32) / 255
    mean, deviation = (jnp.asarray(x).reshape(1, 1, 1, 3) for x in (MEAN, DEVIATION))
    return batch._replace(inputs=(colours - mean) / deviation)


def centre(batch: Batch) -> Batch:
    """Turn bytes u8[B, H, W, 1 or 3] into f32[B, H, W, 3] in [-1, 1], on the device."""
    centred = center_bytes(batch).inputs
    return batch._replace(inputs=jnp.broadcast_to(centred, (*centred.shape[:-1], 3)))
