import numpy as np
import pytest

from fdl.core.errors import UserError
from fdl.core.types import Batch
from fdl.tasks import classify, regress
from fdl.tasks.baselines import seasonal_naive


def test_the_answer_is_no_change_in_the_unit_of_the_series():
    changes, weights = np.array([[3.0, 4.0], [5.0, 100.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    test = Batch(np.zeros((2, 7)), changes, weights)
    fitted = seasonal_naive().fit(test, regress(center=1.0, scale=2.0), 2)
    measured = fitted.measure(test)
    assert fitted.name == "seasonal naive"
    assert measured["mae"] == pytest.approx((3 + 4 + 5) / 3)
    assert measured["rmse"] == pytest.approx(np.sqrt((9 + 16 + 25) / 3))


def test_classes_have_no_season():
    with pytest.raises(UserError, match="predicts no number"):
        seasonal_naive().fit(Batch(np.zeros((2, 3)), np.zeros(2, int), np.ones(2)), classify(2), 2)
