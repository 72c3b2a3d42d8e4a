"""Sentiment of IMDB film reviews with a small Transformer; downloaded by TFDS on first use.

Data    imdb_reviews of TFDS: 22,500 train, 2,500 validation (held out of train), 25,000 test. It needs a network once.
        The vocabulary is the most frequent words of train; reviews are truncated to 256.
Model   a Transformer encoder with mean pooling.
Expect  not measured yet: no available machine could download the dataset
Run     python launch.py --experiment=imdb_transformer
"""

from fdl import optim
from fdl.data import Tokens, texts, tfds
from fdl.experiment import Experiment
from fdl.models import Transformer
from fdl.tasks import classify


def experiment(
    *,
    dataset: str = "imdb_reviews",  # a TFDS name or a prepared TFDS folder
    length: int = 256,  # words per review
    vocabulary: int = 20000,  # vocabulary size, in words
    width: int = 64,  # of embeddings and blocks
    depth: int = 1,  # blocks
    dropout: float = 0.3,  # dropout rate
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # reviews per step
    epochs: float = 3,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    records = tfds(dataset, splits={"train": "train", "test": "test"})
    data = texts(records, inputs="text", target="label", tokens=Tokens("words", vocabulary=vocabulary, length=length))
    spec, steps = data.spec, data.steps(epochs, batch_size)
    return Experiment(
        model=Transformer(
            spec.outputs, vocabulary=spec.vocabulary, width=width, depth=depth, context=length, dropout=dropout
        ),
        dataset=data,
        task=classify(spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=0.01),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
