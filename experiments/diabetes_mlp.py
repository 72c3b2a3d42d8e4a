"""How far diabetes goes in a year, from ten measurements of a patient: one continuous output.

Data    442 patients (Efron et al., 2004, bundled with scikit-learn): 354 train, 44 validation, 44 test.
Model   MLP 10 → 32 → 1 with dropout, in standard units; the metrics are in those of the disease score (25 to 346).
Expect  test RMSE 52.9, the mean of three runs of a second; ridge regression has 53.2
        Each of the three runs draws its own split; guessing the mean has an RMSE of about 77.
Run     python launch.py --experiment=diabetes_mlp
"""

from fdl import optim
from fdl.data import diabetes
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import regress


def experiment(
    *,
    width: int = 32,  # neurons of each hidden layer
    depth: int = 1,  # hidden layers
    dropout: float = 0.3,  # dropout rate
    epochs: float = 60,  # passes over the training set
    batch_size: int = 32,  # examples per step
    learning_rate: float = 0.003,  # at its peak
    weight_decay: float = 0.1,  # of AdamW
    fold: int = 0,  # which random split of the data
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
