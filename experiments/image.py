"""Any set of images: classes or numbers from pictures, by path or TFDS name alone.

--dataset is a folder of pictures by class, a table of file names, an .npz file, Parquet of the Hugging Face Hub, a TFDS
name or a prepared TFDS folder. Columns are guessed where the guess is safe. Validation and test are held out of train
where the set has none. Size, mode and whatever is not read are said. A convolutional net is the default.

    python launch.py --experiment=image --dataset=~/data/flowers --target=kind
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import find, images, reading, split_strings
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import CNN, MLP, Transformer
from fdl.tasks import classify, regress


def experiment(
    *,
    dataset: str = "",  # folder of pictures by class, table of file names, .npz, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of images; guessed where there is one
    target: str = "",  # the column to predict; guessed where there is one
    goal: Literal["auto", "classify", "regress"] = "auto",  # what to make of the target
    dialect: str = "",  # how a text table is written, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # what columns hold where it is told wrongly, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns that are not to be read
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    size: int = 0,  # side to resize to; 0: as they are
    model: Literal["cnn", "mlp", "transformer"] = "cnn",  # the transformer reads rows of pixels
    width: int = 128,  # units of hidden layers
    augment: Literal["none", "shift", "shift_flip"] = "none",  # of training images
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # examples per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = images(
        find(dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="image"),
        inputs=inputs,
        target=target,
        size=size,
        goal=goal,
        missing=missing,
        augment=augment_images(shift=0.125 if augment != "none" else 0.0, flip=augment == "shift_flip"),
    )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    models: dict[str, nn.Module] = {
        "cnn": CNN(spec.outputs, channels=_channels(min(spec.inputs.shape[:2]), width), hidden=(width,), norm="batch"),
        "mlp": MLP(spec.outputs, (width, width)),
        "transformer": Transformer(spec.outputs, width=width, context=spec.inputs.shape[0]),
    }
    return Experiment(
        model=models[model],
        dataset=data,
        task=classify(spec.classes) if spec.classes else regress(center=spec.center, scale=spec.scale),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )


def _channels(side: int, width: int) -> tuple[int, ...]:
    """Return the channels of each block: halve the image down to about 4 pixels, doubling the channels."""
    blocks = max(1, (side // 4).bit_length())
    return tuple(min(width, 32 * 2**block) for block in range(min(blocks, 5)))
