"""Any image dataset: classification or regression, by path or TFDS name alone.

--dataset is a folder of pictures by class, a table of file names, an .npz file, Parquet of the Hugging Face Hub, a TFDS
name or a prepared TFDS folder. Columns are inferred where that is unambiguous. Validation and test are held out of
train where the dataset has none. Image size, mode and skipped files are logged. The default is a convolutional network.

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
from fdl.tasks.baselines import chance, linear, pixels


def experiment(
    *,
    dataset: str = "",  # folder of pictures by class, table of file names, .npz, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of images; inferred where only one fits
    target: str = "",  # the column to predict; inferred where only one fits
    goal: Literal["auto", "classify", "regress"] = "auto",  # task; auto infers it from the target
    dialect: str = "",  # format of a text table, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # column types that override the inferred ones, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns to ignore
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    size: int = 0,  # image side to resize to; 0: no resizing
    model: Literal["cnn", "mlp", "transformer"] = "cnn",  # the transformer takes rows of pixels as tokens
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
    ).augmented(augment_images(shift=0.125 if augment != "none" else 0.0, flip=augment == "shift_flip"))
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
        baselines=(chance(), linear(pixels(), name="pixels")),
    )


def _channels(side: int, width: int) -> tuple[int, ...]:
    """Return the channels of each block: the image is halved to about 4 pixels, the channels double."""
    blocks = max(1, (side // 4).bit_length())
    return tuple(min(width, 32 * 2**block) for block in range(min(blocks, 5)))
