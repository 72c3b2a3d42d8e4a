"""Handwritten digits with softmax regression: the baseline for all other models.

Data    1,797 images of 8×8 pixels (UCI, bundled with scikit-learn): 1,437 train, 180 validation, 180 test.
Model   Perceptron: one dense layer and a softmax, 650 parameters.
Expect  test accuracy 0.983, the mean of three seeds, after a second of training
Run     python launch.py --experiment=digits_perceptron
"""

from fdl import optim
from fdl.data import digits
from fdl.experiment import Experiment
from fdl.models import Perceptron
from fdl.tasks import classify


def experiment(
    *,
    epochs: float = 60,  # passes over the training set
    batch_size: int = 64,  # examples per step
    learning_rate: float = 0.01,  # peak of the warm-up cosine
    weight_decay: float = 0.01,  # of AdamW
    seed: int = 0,  # of the initial weights and the order of the examples
) -> Experiment:
    dataset = digits()
    steps = dataset.steps(epochs, batch_size)
    rate = optim.warmup_cosine(learning_rate, steps)
    return Experiment(
        model=Perceptron(outputs=10),
        dataset=dataset,
        task=classify(10),
        optimizer=optim.adamw(rate, weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
