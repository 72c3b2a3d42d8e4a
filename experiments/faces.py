"""Face recognition by metric learning: embeddings evaluated on people who were not in the training set.

Data    LFW of TFDS (Huang et al., 2007), downloaded on first use, or your own folder with one subfolder of pictures per
        person. A tenth of the people are validation and a tenth test; people with fewer than four pictures are dropped.
Model   ResNet-18 to normalised embeddings of 128 dimensions, trained with a contrastive loss over the batch.
Expect  not measured yet: no available machine could download the dataset. The bar is that the nearest neighbour shows
        the same person for 0.90 of the test set
Run     python launch.py --experiment=faces
Try     --dataset=~/pictures/people, --loss=triplet
"""

from typing import Literal

from fdl import optim
from fdl.data import find, images, numbered, split_by_class
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import ResNet
from fdl.tasks import embed


def experiment(
    *,
    dataset: str = "lfw",  # a TFDS name, a prepared TFDS folder, or a folder of pictures by person
    target: str = "",  # the column that identifies the person; inferred where only one fits
    least: int = 4,  # minimum pictures per person
    size: int = 64,  # side in pixels, after cropping and resizing
    loss: Literal["contrastive", "triplet"] = "contrastive",  # metric learning loss
    embedding: int = 128,  # embedding size
    blocks: tuple[int, ...] = (2, 2, 2, 2),  # blocks of each stage
    width: int = 32,  # channels of the first stage
    epochs: float = 30,  # passes over train
    batch_size: int = 256,  # pictures per step, compared with each other
    learning_rate: float = 0.001,  # peak of the warm-up cosine
    weight_decay: float = 0.05,  # of AdamW
    seed: int = 0,  # of the initial weights and the order of the pictures
) -> Experiment:
    people = split_by_class(find(dataset, kind="image"), target, least=least)
    data = numbered(images(people, target=target, size=size).augmented(augment_images(shift=0.1, flip=True)))
    batch_size = min(batch_size, data.spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=ResNet(embedding, blocks, width, stem="small"),
        dataset=data,
        task=embed(max(data.spec.sizes.values()), loss=loss),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
