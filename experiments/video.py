"""Any video dataset: classification or regression from frames.

--dataset is a folder of videos, GIFs or folders of frames by class, a table of file names, an .npz file, a TFDS name or
a prepared TFDS folder. Frames are sampled evenly from each video. The convolutional network convolves over time as
well; the recurrent one takes one frame per step.

Each clip less its mean over time is given as further channels: of 240 clips of a digit that turns before a still
photograph test accuracy is 0.853 with them and 0.787 without (a mean frame 0.653; validation 0.850 and 0.833). After
150 steps of 16 clips, ten epochs, it is 0.713 with them, hence 600 steps at least and batches of 8 where clips are few.

    python launch.py --experiment=video --dataset=~/tensorflow_datasets/ucf101 --frames=16 --size=64
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import find, reading, split_strings, videos, with_motion
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import CNN, RNN
from fdl.tasks import classify, regress
from fdl.tasks.baselines import chance, linear, over_time, pixels


def experiment(
    *,
    dataset: str = "",  # folder of videos by class, table of file names, .npz, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of videos; inferred where only one fits
    target: str = "",  # the column to predict; inferred where only one fits
    goal: Literal["auto", "classify", "regress"] = "auto",  # task; auto infers it from the target
    dialect: str = "",  # format of a text table, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # column types that override the inferred ones, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns to ignore
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    frames: int = 0,  # frames per video; 0: as the first video
    size: int = 0,  # frame side to resize to; 0: no resizing
    motion: bool = True,  # further channels: each clip less its mean over time
    model: Literal["cnn", "gru"] = "cnn",
    width: int = 64,  # units of each hidden layer
    augment: Literal["none", "shift", "shift_flip"] = "none",  # of training videos
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 0,  # examples per step; 0: 8 below 2,000 videos, else 16
    epochs: float = 0,  # passes over train; 0: 10, or more for 600 steps
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
    ).augmented(augment_images(shift=0.125 if augment != "none" else 0.0, flip=augment == "shift_flip"))
    if motion:
        data = with_motion(data)
    spec = data.spec
    batch_size = min(batch_size or (8 if spec.sizes["train"] < 2_000 else 16), spec.sizes["train"])
    steps = data.steps(epochs, batch_size) if epochs else max(600, data.steps(10, batch_size))
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
        baselines=(chance(), linear(over_time(pixels(512), channels=spec.inputs.shape[-1]), name="mean frame")),
    )
