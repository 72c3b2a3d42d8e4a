"""Direction of motion of a digit in a video, with a convolutional network over space and time.

Data    scikit-learn's digits drifting through a 16×16 frame for six frames: 1,437 train, 180 validation, 180 test.
Model   a small CNN with 3-D convolutions.
Expect  a test accuracy of 1.0 on its 180 videos, after seconds; one frame shows no movement: 0.24, where chance is 0.25
Run     python launch.py --experiment=moving_digits_cnn
Try     --frames=1
"""

from fdl import optim
from fdl.data import moving_digits, videos
from fdl.experiment import Experiment
from fdl.models import CNN
from fdl.tasks import classify


def experiment(
    *,
    frames: int = 6,  # frames per video; 1 shows no movement
    channels: tuple[int, ...] = (8, 16),  # channels of each stage
    learning_rate: float = 2e-3,  # peak of the warm-up cosine
    batch_size: int = 32,  # videos per step
    epochs: float = 4,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = videos(moving_digits(frames=frames, seed=seed), target="direction")
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=CNN(data.spec.outputs, channels=channels, hidden=(32,), norm="batch"),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
