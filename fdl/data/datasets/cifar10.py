"""CIFAR-10: 60,000 photographs of ten things, 32 pixels a side, Krizhevsky 2009, as TensorFlow Datasets keeps them."""

from fdl.data.augment import augment_images
from fdl.data.dataset import Dataset
from fdl.data.modalities.images import images
from fdl.data.readers.tfds import tfds


def cifar10(dataset: str = "cifar10") -> Dataset:
    """Return the photographs: inputs u8[B, 32, 32, 3], in [-1, 1] on the device, targets i32[B] of 10 classes.

    dataset: the TFDS name, or the folder where it was prepared. Validation is the last tenth of TFDS's train. Training
             images are cropped after four pixels of padding, and flipped.
    """
    return images(
        tfds(dataset, splits={"train": "train[:90%]", "validation": "train[90%:]", "test": "test"}),
        inputs="image",
        target="label",
    ).augmented(augment_images(shift=0.125, flip=True))
