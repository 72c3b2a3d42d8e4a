"""German into English with a Transformer: the WMT 2014 pairs, downloaded by TFDS when asked for.

Data    wmt14_translate/de-en of TFDS: 4.5 million pairs of sentences, 3,000 each for validation and test. It needs a
        network once and some 3 GB; --train takes the first tenth. Byte-pair pieces need tokenizers (extra `text`).
Model   the encoder-decoder of Vaswani et al., 2017, taught by forcing; `fdl.models.beam_search.search` writes with it.
Expect  not measured yet: no machine at hand could download the set
Run     python launch.py --experiment=wmt_transformer --precision=bfloat16
"""

from fdl import optim
from fdl.data import pairs, tfds
from fdl.experiment import Experiment
from fdl.models import Seq2SeqTransformer
from fdl.tasks import seq2seq


def experiment(
    *,
    dataset: str = "wmt14_translate/de-en",  # a TFDS name, or the folder where it was prepared
    inputs: str = "de",  # the language to read
    target: str = "en",  # the language to write
    train: str = "train[:10%]",  # TFDS split string
    vocabulary: int = 16384,  # byte-pair pieces of each language
    length: int = 64,  # pieces of a sentence that are read or written
    width: int = 512,  # of embeddings and blocks
    depth: int = 6,  # blocks on each side
    heads: int = 8,  # of attention
    dropout: float = 0.1,  # of hidden units
    learning_rate: float = 5e-4,  # peak of the warm-up cosine
    batch_size: int = 128,  # pairs per step
    epochs: float = 10,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = pairs(
        tfds(dataset, splits={"train": train, "validation": "validation", "test": "test"}),
        inputs=inputs,
        target=target,
        tokens="bpe",
        vocabulary=vocabulary,
        length=length,
        target_length=length,
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
