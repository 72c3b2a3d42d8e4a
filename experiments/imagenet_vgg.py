"""VGG 11 to 19 on ImageNet: 138,357,544 parameters at depth 16.

Data    --dataset=imagenet2012 (TFDS; its archives must be downloaded manually), or a folder of images by class; without
        it synthetic images, to measure speed
Model   stages of 3-wide convolutions on 224 pixels, then three dense layers; --batch_norm normalises after each
Expect  the paper's recipe at depth 16 reached 71.6 % of the validation images; it was not run, it takes weeks of
        one GPU
Run     python launch.py --experiment=imagenet_vgg --depth=16 --dataset=imagenet2012
        python launch.py --experiment=imagenet_vgg --depth=19 --mode=describe
"""

from fdl import optim
from fdl.data import imagenet
from fdl.experiment import Experiment
from fdl.models import VGG
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "",  # a TFDS name or a folder; empty: synthetic images
    depth: int = 16,  # layers with weights: 11, 13, 16 or 19
    batch_norm: bool = False,  # normalise after every convolution
    hidden: int = 4096,  # units of the two dense layers before the last
    size: int = 224,  # side of the images
    dropout: float = 0.5,  # dropout rate of the dense layers' outputs
    epochs: float = 74,  # passes over the training images
    batch_size: int = 256,  # images per step
    learning_rate: float = 0.01,  # peak of the warm-up cosine
    weight_decay: float = 5e-4,  # L2, of kernels only
    seed: int = 0,  # of the initial weights, the augmentation and the order of the images
) -> Experiment:
    data = imagenet(dataset, size=size, seed=seed)
    steps = data.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.05)
    return Experiment(
        model=VGG(data.spec.outputs, depth, norm="batch" if batch_norm else "none", hidden=hidden, dropout=dropout),
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.sgd(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
