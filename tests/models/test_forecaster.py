"""A forecaster is a linear model of changes and level, which begins at given weights, and an MLP beside it."""

import jax
import jax.numpy as jnp
import numpy as np

import random_variables
from fdl.models import Forecaster, window_features

WINDOWS = jax.random.normal(jax.random.key(0), (3, 5, 2))


def test_a_shift_of_all_values_moves_the_last_ones_alone():
    features = window_features(np.asarray(WINDOWS))
    assert isinstance(features, np.ndarray)
    np.testing.assert_array_equal(features, window_features(WINDOWS))
    shifted = window_features(np.asarray(WINDOWS) + 7.0)
    np.testing.assert_allclose(shifted - features, np.repeat([[0.0] * 8 + [7.0] * 2], 3, axis=0), atol=1e-5)


def test_it_begins_as_the_linear_model_that_it_is_given():
    weights = np.random.default_rng(0).normal(size=(11, 4))
    called = []

    def start():
        called.append(0)
        return weights

    model = Forecaster(4, hidden=(8,), start=start)
    jax.eval_shape(model.init, jax.random.key(1), WINDOWS)
    assert not called  # shapes need no data
    want = window_features(np.asarray(WINDOWS)) @ weights[1:] + weights[:1]
    members = jax.jit(jax.vmap(lambda key: model.init(key, WINDOWS)))(jax.random.split(jax.random.key(1), 2))
    assert called
    for member in range(2):
        variables = jax.tree.map(lambda leaf, member=member: leaf[member], members)
        np.testing.assert_allclose(model.apply(variables, WINDOWS), want, rtol=1e-5, atol=1e-5)
    learned = random_variables.variables(model, WINDOWS)
    assert not np.allclose(model.apply(learned, WINDOWS), Forecaster(4, ()).apply(learned, WINDOWS))


def test_without_a_start_it_forecasts_no_change():
    model = Forecaster(4)
    outputs = model.apply(model.init(jax.random.key(1), WINDOWS), WINDOWS)
    np.testing.assert_array_equal(outputs, jnp.zeros((3, 4)))
