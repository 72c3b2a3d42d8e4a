"""Fashion-MNIST with a convolutional network: 70,000 pictures of clothes, downloaded by TFDS on first use.

Data    fashion_mnist of TFDS, 28×28 pixels: 54,000 train, 6,000 validation (held out of train), 10,000 test. It needs a
        network once.
Model   CNN: two stages of convolution, batch normalisation, ReLU and pooling; one dense layer with dropout. Training
        images are shifted by up to two pixels and flipped.
Expect  not measured yet: no available machine could download the dataset
Run     python launch.py --experiment=fashion_mnist_cnn
"""

from fdl import optim
from fdl.data import images, tfds
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import CNN
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "fashion_mnist",  # a TFDS name or a prepared TFDS folder
    channels: tuple[int, ...] = (32, 64),  # channels of each stage
    hidden: int = 256,  # units of the dense layer
    dropout: float = 0.4,  # dropout rate
    learning_rate: float = 0.003,  # peak of the warm-up cosine
    weight_decay: float = 0.05,  # of AdamW
    batch_size: int = 128,  # examples per step
    epochs: float = 15,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = images(tfds(dataset), inputs="image", target="label").augmented(augment_images(shift=2 / 28, flip=True))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=CNN(data.spec.outputs, channels=channels, hidden=(hidden,), kernel=5, norm="batch", dropout=dropout),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
