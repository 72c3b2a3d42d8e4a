"""Weekly CO2 at Mauna Loa: a forecast of a quarter of a year, compared with the seasonal naive forecast.

Data    statsmodels' weekly CO2 from 1958 to 2001 (pip install statsmodels): 2,284 weeks, the last tenth is the test.
Model   an MLP with one hidden layer over the last two years; it predicts the difference from the same week of the year
        before, so its RMSE is that of the forecast in parts per million.
Expect  a test RMSE of 0.81 ppm, where the seasonal naive forecast has 1.97
Run     python launch.py --experiment=co2_mlp
"""

from fdl import optim
from fdl.data import Windows, co2, series
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import regress


def experiment(
    *,
    length: int = 104,  # past weeks used as inputs
    horizon: int = 13,  # weeks to forecast
    width: int = 64,  # units of the hidden layer
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # windows per step
    epochs: float = 60,  # passes over train
    seed: int = 0,  # of everything random
) -> Experiment:
    data = series(co2(), target="co2", windows=Windows(length=length, horizon=horizon, season=52))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=MLP(horizon, (width,)),
        dataset=data,
        task=regress(center=data.spec.center, scale=data.spec.scale),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=0.01),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
