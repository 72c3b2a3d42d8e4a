"""Handwritten digits with an LSTM, one row of pixels per time step.

Data    1,797 images of 8×8 pixels (UCI, bundled with scikit-learn) as 8 steps of 8 numbers: 1,437 train, 180
        validation, 180 test.
Model   RNN: one LSTM layer with 128 units; a linear layer on the last state.
Expect  test accuracy 0.980, the mean of three seeds, after 25 seconds of training on two CPU cores
Run     python launch.py --experiment=digits_lstm
Try     --cell=rnn, --cell=gru, --bidirectional
"""

from typing import Literal

from fdl import optim
from fdl.data import digits
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import classify


def experiment(
    *,
    width: int = 128,  # hidden state size
    depth: int = 1,  # layers
    cell: Literal["lstm", "gru", "rnn"] = "lstm",  # recurrent cell
    bidirectional: bool = False,  # add a reversed layer
    dropout: float = 0.0,  # dropout rate
    epochs: float = 40,  # passes over the training set
    batch_size: int = 64,  # examples per step
    learning_rate: float = 0.005,  # peak of the warm-up cosine
    weight_decay: float = 0.05,  # of AdamW
    seed: int = 0,  # of the initial weights, the dropout and the order of the examples
) -> Experiment:
    dataset = digits()
    steps = dataset.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=RNN(outputs=10, width=width, depth=depth, cell=cell, bidirectional=bidirectional, dropout=dropout),
        dataset=dataset,
        task=classify(10),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
