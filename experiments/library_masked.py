"""BERT pretraining by masked language modelling on the sources of the standard library.

Data    all source lines of the running Python's standard library, some 135,000, except those that library_bert is
        evaluated on; four consecutive lines are one text. 30 % of the tokens are masked, drawn anew at each step on the
        device. (Pretrained on single lines, library_bert starts worse than from scratch.)
Model   BERT: 2 blocks of width 96 over 2,048 byte-pair tokens, and the masked-language-model head.
Expect  0.382 of the masked tokens of test texts predicted, after 1,191 steps: a quarter of an hour on two busy CPU
        cores
Run     python launch.py --experiment=library_masked --workdir=runs/library_masked
"""

from fdl import optim
from fdl.data import library_text, library_tokens, masked
from fdl.experiment import Experiment
from fdl.models import BERT, MaskedLM
from fdl.tasks import masked_token


def experiment(
    *,
    width: int = 96,  # model width
    depth: int = 2,  # blocks
    heads: int = 4,  # attention heads
    length: int = 64,  # maximum pieces of a text
    share: float = 0.3,  # fraction of the tokens that are masked
    epochs: float = 2,  # passes over train
    batch_size: int = 64,  # texts per step
    learning_rate: float = 0.01,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of kernels
    seed: int = 0,  # of the initial weights, the masking and the order of the lines
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
