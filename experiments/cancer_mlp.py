"""Breast cancer, benign or malignant, from 30 measurements of a biopsy: binary classification.

Data    569 tumours (Wisconsin diagnostic set, bundled with scikit-learn): 455 train, 57 validation, 57 test.
Model   MLP 30 → 128 → 1 with dropout, one logit; width and dropout by validation loss.
Expect  test accuracy 0.977 and AUC 0.995, the means of three runs of a second
        One of 57 test examples is 1.8 percentage points, so each of the three runs also uses a different split.
Run     python launch.py --experiment=cancer_mlp
"""

from fdl import optim
from fdl.data import cancer
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import binary


def experiment(
    *,
    width: int = 128,  # units of each hidden layer
    depth: int = 1,  # hidden layers
    dropout: float = 0.5,  # dropout rate
    epochs: float = 60,  # passes over the training set
    batch_size: int = 32,  # examples per step
    learning_rate: float = 0.003,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of AdamW
    fold: int = 0,  # seed of the random split
    seed: int = 0,  # of the initial weights, the dropout and the order of the examples
) -> Experiment:
    dataset = cancer(seed=fold)
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
