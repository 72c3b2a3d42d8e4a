"""The next byte of Python's own help pages, predicted by an LSTM: the recurrent way to do what pydoc_gpt does.

Data    pydoc_data.topics of the Python that runs this: some 430 kB of English and code, read byte by byte. Whole topics
        are held out for validation and test, and no line of theirs is left in the training text.
Model   RNN: one layer of 256 LSTM cells over windows of 256 bytes, an answer at every step.
Expect  2.02 bits per byte of test text, at 12 steps a second on two free CPU cores: two and a half minutes. In the same
        time the vanilla cell comes to 2.06; an interpolated 5-gram has 2.15
Run     python launch.py --experiment=pydoc_lstm
Try     --cell=rnn --steps=4100 --learning_rate=0.003 (27 steps a second), --cell=gru
"""

from typing import Literal

from fdl import optim
from fdl.data import pydoc
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import next_token


def experiment(
    *,
    width: int = 256,  # numbers in the state
    depth: int = 1,  # layers
    cell: Literal["lstm", "gru", "rnn"] = "lstm",  # what remembers
    length: int = 256,  # bytes in a window
    dropout: float = 0.0,  # dropout rate
    steps: int = 1850,  # updates
    batch_size: int = 8,  # windows per step
    learning_rate: float = 0.005,  # at its peak
    weight_decay: float = 0.01,  # of AdamW
    seed: int = 0,  # of the initial weights, the dropout and the order of the windows
) -> Experiment:
    dataset = pydoc(length)
    rate = optim.warmup_cosine(learning_rate, steps, warmup=0.05, end=0.05)
    return Experiment(
        model=RNN(
            outputs=256, vocabulary=256, width=width, depth=depth, cell=cell, return_sequences=True, dropout=dropout
        ),
        dataset=dataset,
        task=next_token(),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
