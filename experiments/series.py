"""Any time series: forecast a column from its own past and that of others.

--dataset is a file of a table whose rows are sorted by its dates, by --time, or are in order as they stand. The model
answers with the change against the seasonal naive forecast, so RMSE and MAE are those of the forecast in the column's
own unit; the last 10 % in time are the test. The naive forecast's errors are kept with the dataset as `seasonal_naive`.

    python launch.py --experiment=series --dataset=sales.csv --target=sold --season=7 --horizon=7
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import find, reading, series
from fdl.experiment import Experiment
from fdl.models import MLP, RNN, Transformer
from fdl.tasks import regress


def experiment(
    *,
    dataset: str = "",  # a file of a table, or a TFDS name or folder
    inputs: tuple[str, ...] = (),  # further columns of numbers to look at
    target: str = "",  # the column to forecast; guessed where there is one
    time: str = "",  # a column of dates or numbers to sort by; the only one of dates where empty
    group: str = "",  # a column that says which of several series a row is of
    gaps: Literal["split", "join"] = "split",  # whether windows may reach over a leap in time
    dialect: str = "",  # how a text table is written, as in "delimiter=; decimal=, missing=-999"
    roles: tuple[str, ...] = (),  # what columns hold where it is told wrongly, as in year:number
    drop: tuple[str, ...] = (),  # columns that are not to be read
    length: int = 64,  # places of the past to look at
    horizon: int = 1,  # places to forecast
    season: int = 1,  # places per season; 1: none
    model: Literal["mlp", "linear", "gru", "transformer"] = "mlp",
    width: int = 64,  # of hidden layers
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # windows per step
    epochs: float = 20,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = series(
        find(dataset, how=reading(dialect, roles, drop), kind="series"),
        inputs=inputs,
        target=target,
        time=time,
        group=group,
        gaps=gaps,
        length=length,
        horizon=horizon,
        season=season,
    )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    models: dict[str, nn.Module] = {
        "mlp": MLP(horizon, (width, width)),
        "linear": MLP(horizon, ()),
        "gru": RNN(horizon, width=width, cell="gru"),
        "transformer": Transformer(horizon, width=width, context=length),
    }
    return Experiment(
        model=models[model],
        dataset=data,
        task=regress(center=spec.center, scale=spec.scale),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
