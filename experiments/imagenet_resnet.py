"""ResNet 18 to 152 on ImageNet: 25,557,032 parameters at depth 50, from scratch or from published weights.

Data    --dataset=imagenet2012 (TFDS; its archives must be downloaded manually), or a folder of images by class; without
        it synthetic images, to measure speed
Model   residual blocks on 224 pixels (v1.5: the stride in the 3-wide convolution); --pre_activation is v2
Expect  published recipes of this kind at depth 50 reach 76 % of the validation images in 90 epochs; it was not run,
        it takes days of one GPU
Run     python launch.py --experiment=imagenet_resnet --depth=50 --dataset=imagenet2012
        python launch.py --experiment=imagenet_resnet --depth=152 --mode=describe
        python launch.py --experiment=imagenet_resnet --weights=r50.safetensors --dataset=imagenet2012 --mode=evaluate
        python launch.py --experiment=imagenet_resnet --weights=r50.safetensors --dataset=my_photos --epochs=5
"""

from fdl import optim
from fdl.data import imagenet
from fdl.experiment import Experiment
from fdl.models.pretrained import published
from fdl.models.resnet import resnet
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "",  # a TFDS name or a folder; empty: synthetic images
    depth: int = 50,  # layers with weights: 18, 34, 50, 101 or 152
    pre_activation: bool = False,  # normalise before each convolution (v2)
    weights: str | None = None,  # pretrained weights: a file of torchvision or timm, or a folder of the Hub
    size: int = 224,  # side of the images
    smoothing: float = 0.1,  # label smoothing
    epochs: float = 90,  # passes over the training images
    batch_size: int = 256,  # images per step
    learning_rate: float = 0.1,  # peak of the warm-up cosine, for a batch size of 256
    weight_decay: float = 1e-4,  # L2, of kernels only
    seed: int = 0,  # of the initial weights, the augmentation and the order of the images
) -> Experiment:
    data = imagenet(dataset, size=size, seed=seed)
    steps = data.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate * batch_size / 256, steps, warmup=0.05)
    model = resnet(depth, data.spec.outputs, pre_activation=pre_activation)
    fresh = () if data.spec.outputs == 1000 else ("head",)  # other classes need a new head
    return Experiment(
        model=model,
        dataset=data,
        task=classify(data.spec.outputs, smoothing=smoothing),
        optimizer=optim.sgd(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if weights is None else published(weights, model, fresh=fresh),
    )
