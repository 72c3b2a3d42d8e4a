"""The adding problem: long-range dependencies, which an LSTM learns and a vanilla recurrent network does not.

Data    generated from a seed: 100 numbers, two of them marked; the target is the sum of the two. A constant prediction
        of 1 has an RMSE of 0.408.
Model   RNN: one LSTM layer with 64 units; a linear layer on the last state.
Expect  RMSE 0.052, the mean of three seeds, after a minute on two CPU cores; --cell=rnn stays at 0.27
Run     python launch.py --experiment=adding_rnn
Try     --cell=rnn (it does not learn), --cell=gru, --length=400
"""

from typing import Literal

from fdl import optim
from fdl.data import adding
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import regress


def experiment(
    *,
    cell: Literal["lstm", "gru", "rnn"] = "lstm",  # recurrent cell
    length: int = 100,  # steps
    width: int = 64,  # hidden state size
    steps: int = 1000,  # updates
    batch_size: int = 64,  # sequences per step
    learning_rate: float = 0.005,  # peak of the warm-up cosine
    seed: int = 0,  # of the initial weights and the order of the sequences
) -> Experiment:
    dataset = adding(length)
    return Experiment(
        model=RNN(outputs=1, width=width, cell=cell),
        dataset=dataset,
        task=regress(center=dataset.spec.center, scale=dataset.spec.scale),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), clip=1.0),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
