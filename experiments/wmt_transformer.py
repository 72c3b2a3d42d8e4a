"""German to English translation with a Transformer: WMT 2014, downloaded by TFDS on first use.

Data    wmt14_translate/de-en of TFDS: 4.5 million pairs of sentences, 3,000 each for validation and test. It needs a
        network once and some 3 GB; --train defaults to the first tenth. Byte-pair tokens need the extra `text`.
Model   the encoder-decoder of Vaswani et al., 2017, trained with teacher forcing; decode with `fdl.models.beam_search`.
Expect  not measured yet: no available machine could download the dataset
Run     python launch.py --experiment=wmt_transformer --precision=bfloat16
"""

from fdl import optim
from fdl.data import Tokens, pairs, tfds
from fdl.experiment import Experiment
from fdl.models import Seq2SeqTransformer
from fdl.tasks import seq2seq


def experiment(
    *,
    dataset: str = "wmt14_translate/de-en",  # a TFDS name or a prepared TFDS folder
    inputs: str = "de",  # source language
    target: str = "en",  # target language
    train: str = "train[:10%]",  # TFDS split string
    vocabulary: int = 16384,  # byte-pair tokens of each language
    length: int = 64,  # tokens per sentence
    width: int = 512,  # of embeddings and blocks
    depth: int = 6,  # blocks on each side
    heads: int = 8,  # attention heads
    dropout: float = 0.1,  # dropout rate
    learning_rate: float = 5e-4,  # peak of the warm-up cosine
    batch_size: int = 128,  # pairs per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = pairs(
        tfds(dataset, splits={"train": train, "validation": "validation", "test": "test"}),
        inputs=inputs,
        target=target,
        tokens=Tokens("bpe", vocabulary=vocabulary, length=length),
        target_tokens=Tokens("bpe", vocabulary=vocabulary, length=length),
    )
    spec, steps = data.spec, data.steps(epochs, batch_size)
    return Experiment(
        model=Seq2SeqTransformer(
            spec.outputs, spec.vocabulary, width=width, depth=depth, heads=heads, context=length, dropout=dropout
        ),
        dataset=data,
        task=seq2seq(),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps, warmup=0.04), b2=0.98),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
