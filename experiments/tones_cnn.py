"""Spoken tones with a convolutional net: which of the four tones of Mandarin does a made-up voice sing?

Data    made up by the page: 800 sounds to train on, 200 for validation and test each, 8,000 samples per second.
Model   log-mel pictures on the device, read by a small CNN.
Expect  a test accuracy of 1.0 on its 200 sounds
Run     python launch.py --experiment=tones_cnn
"""

from fdl import optim
from fdl.data import sounds, tones
from fdl.data.augment import mask
from fdl.experiment import Experiment
from fdl.models import CNN
from fdl.tasks import classify


def experiment(
    *,
    size: int = 800,  # training sounds
    noise: float = 0.1,  # beside a voice of 1
    bands: int = 64,  # mel bands
    channels: tuple[int, ...] = (8, 16, 32),  # feature maps of each stage
    learning_rate: float = 2e-3,  # peak of the warm-up cosine
    batch_size: int = 50,  # sounds per step
    epochs: float = 8,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = sounds(tones(size=size, noise=noise, seed=seed), bands=bands, augment=mask(frequency=0.0))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=CNN(data.spec.outputs, channels=channels, hidden=(64,), norm="batch"),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
