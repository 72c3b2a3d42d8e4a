"""Who is it? Embeddings of faces, judged on people who were never seen in training.

Data    LFW of TFDS (Huang et al., 2007), downloaded when asked for, or a folder of your own with one of pictures for
        each person. A tenth of the people validate and a tenth test; who has fewer than four pictures is left out.
Model   ResNet-18 to 128 numbers of length 1; pictures of one person attract each other and repel the rest of the batch.
Expect  not measured yet: no machine at hand could download the set. The bar is that the nearest other picture shows
        the same person for 0.90 of the test
Run     python launch.py --experiment=faces
Try     --dataset=~/pictures/people, --loss=triplet
"""

from typing import Literal

from fdl import optim
from fdl.data import classes_apart, find, images, numbered
from fdl.data.augment import augment_images
from fdl.experiment import Experiment
from fdl.models import ResNet
from fdl.tasks import embed


def experiment(
    *,
    dataset: str = "lfw",  # a TFDS name, a prepared TFDS folder, or a folder of pictures by person
    target: str = "",  # the column that says who it is; guessed where there is one
    least: int = 4,  # pictures of a person who is not left out
    size: int = 64,  # side that pictures are cut and resized to
    loss: Literal["contrastive", "triplet"] = "contrastive",  # what brings pictures of a person together
    embedding: int = 128,  # numbers of an embedding
    blocks: tuple[int, ...] = (2, 2, 2, 2),  # of each stage
    width: int = 32,  # feature maps of the first stage
    epochs: float = 30,  # passes over train
    batch_size: int = 256,  # pictures per step, which are compared with each other
    learning_rate: float = 0.001,  # at its peak
    weight_decay: float = 0.05,  # of AdamW
    seed: int = 0,  # of the initial weights and the order of the pictures
) -> Experiment:
    people = classes_apart(find(dataset, kind="image"), target, least=least)
    data = numbered(images(people, target=target, size=size, augment=augment_images(shift=0.1, flip=True)))
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
