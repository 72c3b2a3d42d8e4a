"""Any set of sounds: a class or a number for each, from waveforms made log-mel on the device.

--dataset is a folder of WAV, FLAC, OGG or MP3 by class, a table of file names, an .npz file, Parquet of the Hugging
Face Hub, a TFDS name or a prepared TFDS folder. Every sound is cut or padded to one length, at the rate most carry.

    python launch.py --experiment=audio --dataset=~/tensorflow_datasets/gtzan/1.0.0 --target=label
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import find, reading, sounds, split_strings
from fdl.data.augment import mask
from fdl.experiment import Experiment
from fdl.models import CNN, RNN, Transformer
from fdl.tasks import classify, regress


def experiment(
    *,
    dataset: str = "",  # folder of sounds by class, table of file names, .npz, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of sounds; guessed where there is one
    target: str = "",  # the column to predict; guessed where there is one
    goal: Literal["auto", "classify", "regress"] = "auto",  # what to make of the target
    dialect: str = "",  # how a text table is written, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # what columns hold where it is told wrongly, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns that are not to be read
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    rate: int = 0,  # samples per second, resampled to; 0: as the set declares, else 16000
    seconds: float = 0.0,  # of every sound; 0: the longest seen
    bands: int = 40,  # mel bands
    masks: bool = False,  # SpecAugment: hide a span of time and one of frequency in training
    model: Literal["cnn", "gru", "transformer"] = "cnn",
    width: int = 64,  # of hidden layers
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 32,  # examples per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = sounds(
        find(dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="audio"),
        inputs=inputs,
        target=target,
        goal=goal,
        missing=missing,
        rate=rate,
        seconds=seconds,
        bands=bands,
        augment=mask() if masks else None,
    )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    frames = data.shapes(1).inputs.shape[1]
    models: dict[str, nn.Module] = {
        "cnn": CNN(spec.outputs, channels=(16, 32, 64)[: max(1, min(frames, bands).bit_length() - 2)], hidden=(width,)),
        "gru": RNN(spec.outputs, width=width, cell="gru"),
        "transformer": Transformer(spec.outputs, width=width, context=frames),
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
