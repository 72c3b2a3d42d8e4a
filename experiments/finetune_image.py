"""Your own pictures, with a network that was trained on millions of others.

Data    --dataset=FOLDER of pictures by class (or a table of file names, a TFDS name, …); without it synthetic images,
        to measure speed
Model   a published ResNet, VGG, AlexNet or vision Transformer with a new head: --weights is a folder of the Hub, or a
        file in the names of torchvision, timm or Hugging Face
Recipe  the head learns at the full rate after a short warm-up, the body at a tenth of it, so that what it knows is
        turned to the new pictures and not washed away; --body=0 freezes it, with its batch statistics
Expect  no published file could be downloaded where this was written; docs/models.md has what a small stand-in did
Run     python launch.py --experiment=finetune_image --weights=resnet50 --dataset=flowers
Try     --body=0, --lora=8, --model=vit --colours=centered; no --weights is the same network from scratch
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import optax

from fdl import optim
from fdl.data import imagenet
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models.alexnet import AlexNet
from fdl.models.pretrained import published
from fdl.models.resnet import resnet
from fdl.models.vgg import VGG
from fdl.models.vit import vit as vision_transformer
from fdl.tasks import classify


def experiment(
    *,
    weights: str | None = None,  # pretrained weights: a folder of the Hub, or a file
    model: Literal["resnet", "vgg", "vgg_bn", "alexnet", "vit"] = "resnet",  # the network of these weights
    depth: int = 0,  # of a resnet 18 to 152, of a vgg 11 to 19; 0: 50 and 16
    vit: Literal["tiny", "small", "base", "large"] = "base",  # the size of a vision Transformer
    patch: int = 16,  # the side of its patches
    dataset: str = "",  # folder of pictures by class, table of file names, TFDS name; empty: synthetic images
    inputs: str = "",  # the column of pictures; inferred where only one fits
    target: str = "",  # the column of classes; inferred where only one fits
    size: int = 224,  # side that pictures are cut and resized to
    colours: Literal["imagenet", "centered"] = "imagenet",  # as the weights were trained; centered: in [-1, 1]
    augment: Literal["none", "shift", "shift_flip"] = "shift_flip",  # of training pictures
    body: float = 0.1,  # learning rate of the pretrained body, as a share of the head's; 0 freezes it
    learning_rate: float = 1e-3,  # of the head: peak of the warm-up cosine
    weight_decay: float = 0.01,  # of AdamW
    epochs: float = 10,  # passes over the training pictures
    batch_size: int = 32,  # pictures per step
    seed: int = 0,  # of the head, the augmentation and the order of the pictures
) -> Experiment:
    data = imagenet(dataset, inputs=inputs, target=target, size=size, colours=colours, seed=seed).augmented(
        augment_images(shift=0.125 if augment != "none" else 0.0, flip=augment == "shift_flip")
    )
    batch_size = min(batch_size, data.spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    classes = data.spec.outputs
    networks: dict[str, Callable[[], nn.Module]] = {
        "resnet": lambda: resnet(depth or 50, classes),
        "vgg": lambda: VGG(classes, depth or 16),
        "vgg_bn": lambda: VGG(classes, depth or 16, norm="batch"),
        "alexnet": lambda: AlexNet(classes),
        "vit": lambda: vision_transformer(vit, classes, patch=patch),
    }
    network = networks[model]()
    head = "head" if model in ("resnet", "vit") else "Dense_2"

    def adamw(peak: float) -> optax.GradientTransformation:
        return optim.adamw(optim.warmup_cosine(peak, steps, warmup=0.05), weight_decay=weight_decay)

    return Experiment(
        model=network,
        dataset=data,
        task=classify(classes),
        optimizer=optim.fine_tuning(adamw, learning_rate, head=[head], body=body if weights else 1.0),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if weights is None else published(weights, network, fresh=(head,)),
    )
