"""Extramarital affairs from a survey of 6,366 marriages, eight answers each: binary classification of noisy data.

Data    the Redbook survey of 1974 (Fair, 1978, bundled with statsmodels): 5,092 train, 637 validation, 637 test.
Model   MLP 8 → 64 → 64 → 1 with dropout, one logit.
Expect  AUC 0.742, the mean of three runs of seconds; logistic regression has 0.735 on the same splits
Run     pip install statsmodels; python launch.py --experiment=affairs_mlp
"""

from fdl import optim
from fdl.data import affairs
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import binary


def experiment(
    *,
    width: int = 64,  # units of each hidden layer
    depth: int = 2,  # hidden layers
    dropout: float = 0.2,  # dropout rate
    epochs: float = 10,  # passes over the training set
    batch_size: int = 128,  # examples per step
    learning_rate: float = 0.003,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of AdamW
    fold: int = 0,  # seed of the random split
    seed: int = 0,  # of the initial weights, the dropout and the order of the examples
) -> Experiment:
    dataset = affairs(seed=fold)
    steps = dataset.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=MLP(outputs=1, hidden=(width,) * depth, dropout=dropout),
        dataset=dataset,
        task=binary(),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
