"""CIFAR-10 with VGG: 60,000 photographs of ten classes, downloaded by TFDS on first use.

Data    cifar10 of TFDS, 32×32 pixels in colour: 45,000 train, 5,000 validation (held out of train), 10,000 test. It
        needs a network once. Augmentation: random crops after four pixels of padding, and flips.
Model   VGG-16 with batch normalisation and dense layers of 512 units; SGD with momentum.
Expect  not measured yet: no available machine could download the dataset; the bar is 0.925
Run     python launch.py --experiment=cifar10_vgg
"""

from fdl import optim
from fdl.data import cifar10
from fdl.experiment import Experiment
from fdl.models import VGG
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "cifar10",  # a TFDS name or a prepared TFDS folder
    depth: int = 16,  # layers: 11, 13, 16 or 19
    hidden: int = 512,  # width of the dense layers
    learning_rate: float = 0.05,  # peak of the warm-up cosine
    weight_decay: float = 5e-4,  # added to the gradient
    batch_size: int = 128,  # examples per step
    epochs: float = 150,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = cifar10(dataset)
    steps = data.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.02)
    return Experiment(
        model=VGG(data.spec.outputs, depth, norm="batch", hidden=hidden),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.sgd(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
