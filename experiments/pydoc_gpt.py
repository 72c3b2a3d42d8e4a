"""A byte-level language model of Python's help pages: a small GPT.

Data    pydoc_data.topics of the running Python: some 430 kB of English and code, as bytes. Whole topics are held out
        for validation and test, and none of their lines remains in the training text.
Model   GPT: 3 causal blocks of width 128 with 4 heads and rotary positions over windows of 256 bytes; Muon.
Expect  1.91 bits per byte of test text, at four steps a second on two free CPU cores: two minutes. In the same time an
        LSTM reaches 2.02 and a vanilla RNN 2.06 (pydoc_lstm); an interpolated 5-gram has 2.15. (Interleaved step by
        step, beside other work, their runs take 0.99 and 0.95 of this one's time, and 1.10 and 1.16 of its processor
        time.) 300 steps of AdamW reach less than 150 of Muon
Run     python launch.py --experiment=pydoc_gpt
"""

from typing import Literal

from fdl import optim
from fdl.data import pydoc
from fdl.experiment import Experiment
from fdl.models.gpt import gpt
from fdl.tasks import next_token


def experiment(
    *,
    width: int = 128,  # model width
    depth: int = 3,  # blocks
    heads: int = 4,  # attention heads
    positions: Literal["learned", "rotary"] = "rotary",  # position embeddings
    length: int = 256,  # bytes per window
    dropout: float = 0.0,  # dropout rate
    steps: int = 450,  # updates
    batch_size: int = 8,  # windows per step
    learning_rate: float = 0.01,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of kernels
    seed: int = 0,  # of the initial weights, the dropout and the order of the windows
) -> Experiment:
    dataset = pydoc(length)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.05, end=0.05)
    return Experiment(
        model=gpt(256, width=width, depth=depth, heads=heads, context=length, positions=positions, dropout=dropout),
        dataset=dataset,
        task=next_token(),
        optimizer=optim.muon(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
