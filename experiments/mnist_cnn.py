"""MNIST with a convolutional network: 70,000 handwritten digits, downloaded by TensorFlow Datasets on first use.

Data    mnist of TFDS, 28×28 pixels: 54,000 train, 6,000 validation (held out of train), 10,000 test. It needs a network
        once; the environment variable TFDS_DATA_DIR sets the download folder.
Model   CNN: two stages of 5×5 convolution, batch normalisation, ReLU and pooling; one dense layer with dropout.
        Training images are shifted by up to two pixels.
Expect  the bar is a test accuracy of 0.992; not measured yet, since no available machine could download the dataset
Run     python launch.py --experiment=mnist_cnn
"""

from fdl import optim
from fdl.data import mnist
from fdl.data.augment import random_shift
from fdl.experiment import Experiment
from fdl.models import CNN
from fdl.tasks import classify


def experiment(
    *,
    channels: tuple[int, ...] = (32, 64),  # channels of each stage
    hidden: int = 256,  # units of the dense layer
    dropout: float = 0.4,  # dropout rate
    epochs: float = 10,  # passes over the training set
    batch_size: int = 128,  # examples per step
    learning_rate: float = 0.003,  # peak of the warm-up cosine
    weight_decay: float = 0.05,  # of AdamW
    seed: int = 0,  # of the initial weights, the shifts, the dropout and the order of the examples
) -> Experiment:
    dataset = mnist(augment=random_shift(2 / 28))
    steps = dataset.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=CNN(outputs=10, channels=channels, hidden=(hidden,), kernel=5, norm="batch", dropout=dropout),
        dataset=dataset,
        task=classify(10),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
