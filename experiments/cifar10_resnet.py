"""CIFAR-10 with a small ResNet: 60,000 photographs of ten classes, downloaded by TFDS on first use.

Data    cifar10 of TFDS, 32×32 pixels in colour: 45,000 train, 5,000 validation (held out of train), 10,000 test. It
        needs a network once. Augmentation: random crops after four pixels of padding, and flips.
Model   the CIFAR-10 ResNet of He et al., 2016, with 20 layers; SGD with momentum.
Expect  not measured yet: no available machine could download the dataset; the paper has 0.913
Run     python launch.py --experiment=cifar10_resnet
"""

from fdl import optim
from fdl.data import cifar10
from fdl.experiment import Experiment
from fdl.models import cifar_resnet
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "cifar10",  # a TFDS name or a prepared TFDS folder
    depth: int = 20,  # layers: 20, 32, 44, 56 or 110
    learning_rate: float = 0.1,  # peak of the warm-up cosine
    weight_decay: float = 1e-4,  # added to the gradient
    batch_size: int = 128,  # examples per step
    epochs: float = 100,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = cifar10(dataset)
    steps = data.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.02)
    return Experiment(
        model=cifar_resnet(depth, data.spec.outputs),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.sgd(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
