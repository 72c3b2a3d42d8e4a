"""Diabetes progression in one year, from ten measurements of a patient: regression.

Data    442 patients (Efron et al., 2004, bundled with scikit-learn): 354 train, 44 validation, 44 test.
Model   MLP 10 → 32 → 1 with dropout, on standardised targets; metrics are in units of the disease score (25 to 346).
Expect  test RMSE 52.9, the mean of three runs of a second; ridge regression has 53.2
        Each of the three runs uses a different split; predicting the mean has an RMSE of about 77.
Run     python launch.py --experiment=diabetes_mlp
"""

from fdl import optim
from fdl.data import diabetes
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import regress


def experiment(
    *,
    width: int = 32,  # units of each hidden layer
    depth: int = 1,  # hidden layers
    dropout: float = 0.3,  # dropout rate
    epochs: float = 60,  # passes over the training set
    batch_size: int = 32,  # examples per step
    learning_rate: float = 0.003,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of AdamW
    fold: int = 0,  # seed of the random split
    seed: int = 0,  # of the initial weights, the dropout and the order of the examples
) -> Experiment:
    dataset = diabetes(seed=fold)
    steps = dataset.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=MLP(outputs=1, hidden=(width,) * depth, dropout=dropout),
        dataset=dataset,
        task=regress(center=152, scale=77),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
