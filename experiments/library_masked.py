"""BERT learns to read the standard library: some pieces of each text are hidden, and it restores them.

Data    every line of the sources of the Python that runs this, some 135,000, but for those that library_bert is judged
        on; four that stand together are one text. Of each, 30 % of the pieces are to be restored: at each step others,
        drawn on the device. (From lines that stand alone library_bert starts worse than from scratch.)
Model   BERT: 2 blocks of width 96 over 2,048 byte-pair pieces, and the head of the masked language model.
Expect  0.382 of the hidden pieces of test texts restored, after 1,191 steps: a quarter of an hour on two CPU cores that
        had much other work
Run     python launch.py --experiment=library_masked --workdir=runs/library_masked
"""

from fdl import optim
from fdl.data import library_text, library_tokens, masked
from fdl.experiment import Experiment
from fdl.models import BERT, MaskedLM
from fdl.tasks import masked_token


def experiment(
    *,
    width: int = 96,  # numbers per position
    depth: int = 2,  # blocks
    heads: int = 4,  # of attention
    length: int = 64,  # pieces of a text that are read
    share: float = 0.3,  # of the pieces that are to be restored
    epochs: float = 2,  # passes over train
    batch_size: int = 64,  # texts per step
    learning_rate: float = 0.01,  # at its peak
    weight_decay: float = 0.1,  # of matrices
    seed: int = 0,  # of the initial weights, what is hidden and the order of the lines
) -> Experiment:
    tokens = library_tokens()
    dataset = masked(library_text(), tokens, column="lines", length=length, share=share)
    encoder = BERT(tokens.size, width, depth, heads, context=length, types=1, pooler=False, dropout=0.0)
    steps = dataset.steps(epochs, batch_size)
    return Experiment(
        model=MaskedLM(encoder),
        dataset=dataset,
        task=masked_token(),
        optimizer=optim.muon(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
