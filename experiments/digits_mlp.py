"""Handwritten digits with a multi-layer perceptron (placeholder page)."""

from fdl import optim
from fdl.data.digits import digits
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import classify


def experiment(
    *,
    width: int = 128,  # units per hidden layer
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,
    epochs: float = 40,
    seed: int = 0,
) -> Experiment:
    data = digits()
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=MLP(10, (width, width)),
        dataset=data,
        task=classify(10),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
