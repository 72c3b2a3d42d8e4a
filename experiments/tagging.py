"""Any sentences with a tag for each word: parts of speech, names of people and places, punctuation.

--dataset is a CoNLL file (a word and its tags a line, an empty line after each sentence; CoNLL-U as well), a folder of
train.conll, dev.conll and test.conll, a Parquet or JSON Lines file with a list of tokens and a list of tags in a row, a
TFDS name or a prepared TFDS folder. Tags such as B-PER and I-PER are measured as whole spans.

A sentence is read in both directions, of each word an embedding and what its letters say: 0.974 of the capitals of
Python's documentation in 73 seconds of processor time, where the most frequent tag of a word or of its ending is right
for 0.924.

    python launch.py --experiment=tagging --dataset=sentences.conll
"""

from typing import Literal

from fdl import optim
from fdl.data import find, reading, split_strings, tags
from fdl.experiment import Experiment
from fdl.models import Tagger
from fdl.tasks import tag
from fdl.tasks.baselines import chance, frequent_tag


def experiment(
    *,
    dataset: str = "",  # CoNLL file or folder, table with lists, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of words; inferred where only one fits
    target: str = "",  # the column of tags; the last one of a CoNLL file
    dialect: str = "",  # encoding of a text file, as in "encoding=cp1252"
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    vocabulary: int = 20_000,  # maximum number of words
    length: int = 0,  # words of a sentence, longer ones are divided; 0: that of 95 % of the training sentences
    width: int = 128,  # of a direction of the recurrent layers
    depth: int = 1,  # recurrent layers over words
    cell: Literal["gru", "lstm"] = "gru",  # of all recurrent layers
    dropout: float = 0.5,  # dropout rate
    learning_rate: float = 3e-3,  # peak of the warm-up cosine
    batch_size: int = 32,  # sentences per step
    epochs: float = 0,  # passes over train; 0: 5, or more for 500 steps
    seed: int = 0,  # of everything random
) -> Experiment:
    records = find(dataset, splits=split_strings(train, validation, test), how=reading(dialect), kind="tagging")
    data = tags(records, inputs=inputs, target=target, vocabulary=vocabulary, length=length)
    spec = data.spec
    words, letters = spec.categories
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size) if epochs else max(500, data.steps(5, batch_size))
    return Experiment(
        model=Tagger(spec.outputs, words, letters, width=width, depth=depth, cell=cell, dropout=dropout),
        dataset=data,
        task=tag(spec.names or ()),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        baselines=(chance(), frequent_tag()),
    )
