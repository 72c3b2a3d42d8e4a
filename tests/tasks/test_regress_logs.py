"""Numbers that are learned as logarithms: what is measured and predicted is in their own unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from fdl.core.types import Batch, add_up
from fdl.tasks import regress_logs

TASK = regress_logs(center=2.0, scale=0.5)


def finished(outputs, targets, weights):
    sums = TASK(jnp.float32(outputs)[:, None], Batch(None, np.float32(targets), np.float32(weights)))
    return TASK.finish(add_up([{k: type(s)(*(np.asarray(x)[None] for x in s)) for k, s in sums.items()}]), "test")


def test_metrics_are_in_the_unit_of_the_targets():
    random = np.random.default_rng(0)
    outputs, targets = random.normal(size=30), np.exp(random.normal(2, 0.5, 30))
    found = finished([*outputs, 9.0], [*targets, np.nan], [1.0] * 30 + [0.0])
    values = np.exp(outputs * 0.5 + 2)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(targets, values), rel=1e-5)
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, values), rel=1e-5)
    assert found["r2"] == pytest.approx(r2_score(targets, values), rel=1e-4)
    assert found["loss"] == pytest.approx(np.mean((outputs - (np.log(targets) - 2) / 0.5) ** 2), rel=1e-5)


def test_predictions_are_what_was_encoded():
    values = np.array([0.3, 7.0, 54.0])
    outputs = TASK.encode(values)
    np.testing.assert_allclose(TASK.predict(jnp.float32(outputs))["value"], values, rtol=1e-5)


def test_a_target_that_is_not_positive_and_a_wild_output_stay_finite():
    assert TASK.predict(jnp.float32([9.0]))["value"] == pytest.approx(np.exp(4))
    found = finished([0.0, 1e4], [0.0, -3.0], [1, 1])
    assert all(np.isfinite(value) for value in found.values())
    assert np.isfinite(TASK.encode(np.array([-1.0, 0.0]))).all()
    gradient = jax.grad(lambda x: TASK(x[:, None], Batch(None, np.float32([0, 1]), np.ones(2, "f")))["loss"].total)
    assert np.isfinite(gradient(jnp.float32([1e4, -1e4]))).all()
