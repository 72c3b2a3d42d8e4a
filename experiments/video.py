"""Any set of videos: a class or a number for each, from frames.

--dataset is a folder of videos, GIFs or folders of frames by class, a table of file names, an .npz file, a TFDS name or
a prepared TFDS folder. Frames are spread evenly over each video. The convolutional net convolves over time as well; the
recurrent one reads frame after frame.

    python launch.py --experiment=video --dataset=~/tensorflow_datasets/ucf101 --frames=16 --size=64
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import find, reading, split_strings, videos
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import CNN, RNN
from fdl.tasks import classify, regress


def experiment(
    *,
    dataset: str = "",  # folder of videos by class, table of file names, .npz, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of videos; guessed where there is one
    target: str = "",  # the column to predict; guessed where there is one
    goal: Literal["auto", "classify", "regress"] = "auto",  # what to make of the target
    dialect: str = "",  # how a text table is written, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # what columns hold where it is told wrongly, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns that are not to be read
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    frames: int = 0,  # of every video; 0: as many as the first has
    size: int = 0,  # side to resize frames to; 0: as they are
    model: Literal["cnn", "gru"] = "cnn",
    width: int = 64,  # of hidden layers
    augment: Literal["none", "shift", "shift_flip"] = "none",  # of training videos
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 16,  # examples per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = videos(
        find(dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="video"),
        inputs=inputs,
        target=target,
        goal=goal,
        missing=missing,
        frames=frames,
        size=size,
        augment=augment_images(shift=0.125 if augment != "none" else 0.0, flip=augment == "shift_flip"),
    )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    blocks = max(1, min(spec.inputs.shape[:3]).bit_length() - 1)
    models: dict[str, nn.Module] = {
        "cnn": CNN(spec.outputs, channels=(16, 32, 64)[:blocks], hidden=(width,)),
        "gru": RNN(spec.outputs, width=width, cell="gru"),
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
