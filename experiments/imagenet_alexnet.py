"""AlexNet on ImageNet: 61,100,840 parameters, the published single-column variant.

Data    --dataset=imagenet2012 (TFDS; its archives must be downloaded manually), or a folder of images by class; without
        it synthetic images, to measure speed
Model   five convolutions and three dense layers on 224 pixels; --small for images of about 32
Expect  the paper's recipe reached 57.1 % of the validation images; it was not run, it takes a day on one GPU
Run     python launch.py --experiment=imagenet_alexnet --dataset=imagenet2012
        python launch.py --experiment=imagenet_alexnet --mode=describe
"""

from fdl import optim
from fdl.data import imagenet
from fdl.experiment import Experiment
from fdl.models import AlexNet
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "",  # a TFDS name or a folder; empty: synthetic images
    small: bool = False,  # the variant for images of about 32 pixels
    size: int = 224,  # side of the images
    dropout: float = 0.5,  # dropout rate of the dense layers' inputs
    epochs: float = 90,  # passes over the training images
    batch_size: int = 256,  # images per step
    learning_rate: float = 0.01,  # peak of the warm-up cosine
    weight_decay: float = 5e-4,  # L2, of kernels only
    seed: int = 0,  # of the initial weights, the augmentation and the order of the images
) -> Experiment:
    data = imagenet(dataset, size=size, seed=seed)
    steps = data.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.05)
    return Experiment(
        model=AlexNet(data.spec.outputs, small=small, dropout=dropout),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.sgd(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
