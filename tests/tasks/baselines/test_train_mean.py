import numpy as np
import pytest

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.tasks import classify, regress
from fdl.tasks.baselines import train_mean


def test_the_forecast_is_the_mean_in_the_unit_of_the_series():
    values = np.random.default_rng(0).normal(50.0, 4.0, (300, 8))
    mean, scale, season = 50.0, 4.0, 3
    past, future = values[:, :6], values[:, 6:]
    changes = future - past[:, [3, 4]]  # a season of three places, of which the first two come next
    test = Batch(((past - mean) / scale)[..., None], changes, np.ones((300, 2)))
    baseline, task = train_mean(scale, season), regress(center=0.5, scale=2.0)
    fitted = baseline.fit(test, task, 2)
    measured = fitted.measure(test._replace(inputs=baseline.features(test.inputs)))
    assert baseline.chance
    assert fitted.name == "the mean of train"
    assert measured["rmse"] == pytest.approx(np.sqrt(np.mean((future - mean) ** 2)), rel=1e-5)


def test_classes_have_no_mean():
    with pytest.raises(UserError, match="predicts no number"):
        train_mean(1.0).fit(Batch(np.zeros((2, 3)), np.zeros(2, int), np.ones(2)), classify(2), 2)
