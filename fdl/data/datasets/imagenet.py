"""ImageNet, or any set of photographs in its form, as published weights expect them; made-up ones to measure speed."""

from dataclasses import replace

import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.data.augment import augment_images
from fdl.data.dataset import Dataset
from fdl.data.datasets.synthetic import synthetic
from fdl.data.modalities.images import images
from fdl.data.readers.find import find

# Of the training images, red green blue in [0, 1]: what the weights of torchvision were trained with.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def imagenet(dataset: str = "", *, size: int = 224, seed: int = 0) -> Dataset:
    """Return images with a class each: inputs f32[B, size, size, 3], standardised by ImageNet's colours.

    dataset: a TFDS name (`imagenet2012`), a prepared TFDS folder, or a folder of images by class; without one, images
             of 1000 classes are made up.
    """
    if not dataset:
        return synthetic((size, size, 3), classes=1000, size=512, seed=seed)
    data = images(find(dataset), size=size).augmented(augment_images(shift=0.125, flip=True))
    if data.transform is None or data.spec.inputs.shape[-1] != 3:
        raise UserError(f"{dataset} holds no colour images of bytes; try the page `image`")
    return replace(data, transform=standardise)


def standardise(batch: Batch) -> Batch:
    """Turn bytes u8[B, H, W, 3] into floats of mean 0 and deviation 1 over ImageNet, on the device."""
    colours = jnp.asarray(batch.inputs).astype(jnp.float32) / 255
    mean, deviation = (jnp.asarray(x).reshape(1, 1, 1, 3) for x in (MEAN, DEVIATION))
    return batch._replace(inputs=(colours - mean) / deviation)
