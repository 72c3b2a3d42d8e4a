"""Any pairs of texts: read the one, write the other (translation, spelling, arithmetic).

--dataset is a table with a source and a target column, Tatoeba's pairs, a folder of train.en and train.de, a TFDS name
or a prepared TFDS folder.

    python launch.py --experiment=pairs --dataset=pairs.tsv --inputs=english --target=french
"""

from typing import Literal

from fdl import models, optim
from fdl.data import find, pairs, reading, split_strings
from fdl.experiment import Experiment
from fdl.tasks import seq2seq


def experiment(
    *,
    dataset: str = "",  # table, folder of a file per language, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column to read
    target: str = "",  # the column to write
    dialect: str = "",  # how a text table is written, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # what columns hold where it is told wrongly, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns that are not to be read
    missing: Literal["refuse", "drop"] = "refuse",  # rows without one of the two
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    tokens: Literal["chars", "bytes", "words", "bpe"] = "chars",  # what a token is
    vocabulary: int = 8192,  # at most so many tokens on each side
    length: int = 0,  # source tokens; 0 holds 95 % of the training texts whole
    target_length: int = 0,  # target tokens; likewise
    model: Literal["transformer", "gru"] = "transformer",
    width: int = 128,  # of embeddings and layers
    depth: int = 2,  # layers on each side
    dropout: float = 0.1,  # of hidden units
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # pairs per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = pairs(
        find(dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="pairs"),
        inputs=inputs,
        target=target,
        missing=missing,
        tokens=tokens,
        vocabulary=vocabulary,
        length=length,
        target_length=target_length,
    )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    context = max(spec.inputs["sources"].shape[0], spec.targets.shape[0])
    return Experiment(
        model=models.encoder_decoder(
            model, spec.outputs, spec.vocabulary, width=width, depth=depth, context=context, dropout=dropout
        ),
        dataset=data,
        task=seq2seq(),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
