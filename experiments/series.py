"""Any time series: forecast a column from its past and that of other columns.

--dataset is a table file, sorted by its date column or --time, else taken in file order. The model predicts the
difference from the seasonal naive forecast, so RMSE and MAE are those of the forecast in the column's unit; the last
10 % in time are the test set. The errors of the naive forecast are stored with the dataset as `seasonal_naive`, and
after training the model is compared with it and with ridge regression of all past values.

    python launch.py --experiment=series --dataset=sales.csv --target=sold --season=7 --horizon=7
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import Windows, find, reading, series
from fdl.experiment import Experiment
from fdl.models import MLP, RNN, Transformer
from fdl.tasks import regress
from fdl.tasks.baselines import columns, linear, seasonal_naive


def experiment(
    *,
    dataset: str = "",  # a table file, a TFDS name or a prepared TFDS folder
    inputs: tuple[str, ...] = (),  # further numeric input columns
    target: str = "",  # the column to forecast; inferred where only one fits
    time: str = "",  # the column to sort by; inferred where only one holds dates
    group: str = "",  # the column that identifies each of several series
    gaps: Literal["split", "join"] = "split",  # whether windows may span a gap in time
    dialect: str = "",  # format of a text table, as in "delimiter=; decimal=, missing=-999"
    roles: tuple[str, ...] = (),  # column types that override the inferred ones, as in year:number
    drop: tuple[str, ...] = (),  # columns to ignore
    length: int = 64,  # past steps used as inputs
    horizon: int = 1,  # steps to forecast
    season: int = 1,  # steps per season; 1: none
    model: Literal["mlp", "linear", "gru", "transformer"] = "mlp",
    width: int = 64,  # units of each hidden layer
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
        windows=Windows(length=length, horizon=horizon, season=season),
    )
    spec = data.spec
    length, horizon = spec.inputs.shape[0], spec.outputs
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
        baselines=(seasonal_naive(), linear(columns(), name="lags")),
    )
