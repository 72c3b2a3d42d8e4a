import jax
import jax.numpy as jnp
import numpy as np
import pytest

import random_variables
from fdl.models import MLP
from fdl.tasks.baselines import columns

NUMBERS = jnp.ones((3, 2))


def test_categories_are_looked_up_and_laid_beside_the_numbers():
    model = MLP(1, hidden=(), categories=(3, 5))
    columns = jnp.array([[0, 4], [2, 4], [0, 1]])
    variables = random_variables.variables(model, NUMBERS, columns)
    params = variables["params"]
    first, second = params["Embed_0"]["embedding"], params["Embed_1"]["embedding"]
    assert first.shape == (3, 2)
    assert second.shape == (5, 3)
    x = np.concatenate([NUMBERS, first[columns[:, 0]], second[columns[:, 1]]], axis=1)
    np.testing.assert_allclose(model.apply(variables, NUMBERS, columns), x @ params["Dense_0"]["kernel"], rtol=1e-5)


def test_a_misfit_of_columns_is_named():
    with pytest.raises(ValueError, match="2 categorical columns, but categories=\\(3,\\)"):
        jax.eval_shape(MLP(1, categories=(3,)).init, jax.random.key(0), NUMBERS, jnp.zeros((3, 2), jnp.int32))


def test_a_residual_layer_adds_to_what_it_was_given():
    model = MLP(2, hidden=(2, 2), residual=True)
    zeros = jax.tree.map(jnp.zeros_like, random_variables.variables(model, NUMBERS))
    head = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    variables = {"params": {**zeros["params"], "Dense_2": head}}
    np.testing.assert_array_equal(model.apply(variables, NUMBERS), NUMBERS)
    np.testing.assert_array_equal(model.clone(residual=False).apply(variables, NUMBERS), 0 * NUMBERS)


def test_it_begins_as_the_linear_model_of_numbers_and_categories_that_it_is_given():
    random, codes = np.random.default_rng(0), np.array([[0, 4], [2, 4], [0, 1]])
    numbers, weights = random.normal(size=(3, 2)).astype(np.float32), random.normal(size=(2 + 3 + 5 + 1, 2))
    model = MLP(2, hidden=(8,), categories=(3, 5), start=lambda: weights)
    variables = model.init(jax.random.key(0), numbers, codes)
    want = columns((3, 5))({"inputs": numbers, "categories": codes}) @ weights[1:] + weights[:1]
    np.testing.assert_allclose(model.apply(variables, numbers, codes), want, rtol=1e-5, atol=1e-5)
    learned = random_variables.variables(model, numbers, codes)
    without = {"params": {**learned["params"], "head": jax.tree.map(jnp.zeros_like, learned["params"]["head"])}}
    assert not np.allclose(model.apply(learned, numbers, codes), model.apply(without, numbers, codes))
