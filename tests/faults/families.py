"""Four model families on a little made-up data: what the fault gate kills, stops and starves.

Everything that carries state between steps is here: dropout, batch statistics, Adam's moments, a straddled epoch.
"""

from typing import Literal

from fdl import optim
from fdl.data.datasets.synthetic import synthetic, synthetic_tokens
from fdl.experiment import Experiment
from fdl.models import CNN, MLP, RNN, Transformer
from fdl.tasks import classify, next_token


def experiment(
    *,
    family: Literal["mlp", "cnn", "lstm", "transformer"] = "mlp",  # the model
    width: int = 16,
    batch_size: int = 16,
    steps: int = 120,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Experiment:
    if family in ("mlp", "cnn"):
        data = synthetic((8, 8, 1), classes=5, size=200)
        task = classify(5)
        nets = {
            "mlp": MLP(5, (width,), dropout=0.2),
            "cnn": CNN(5, (width // 4,), (width,), norm="batch", dropout=0.2),
        }
    else:
        data = synthetic_tokens(8, vocabulary=11, size=200)
        task = next_token()
        nets = {
            "lstm": RNN(11, vocabulary=11, width=width, return_sequences=True, dropout=0.2),
            "transformer": Transformer(
                11,
                vocabulary=11,
                width=width,
                depth=1,
                heads=2,
                context=8,
                causal=True,
                return_sequences=True,
                dropout=0.2,
            ),
        }
    return Experiment(
        model=nets[family],
        dataset=data,
        task=task,
        optimizer=optim.adamw(learning_rate),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        steps_per_call=5,
        log_every=10,
        evaluate_every=20,
        save_every=10,
    )
