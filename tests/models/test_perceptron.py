import jax
import jax.numpy as jnp
import numpy as np

from fdl.models import Perceptron


def test_a_neuron_is_a_weighted_sum_a_bias_and_an_activation():
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    params = {"Dense_0": {"kernel": jnp.array([[0.5], [-1.0]]), "bias": jnp.array([0.25])}}
    np.testing.assert_allclose(Perceptron().apply({"params": params}, x), [[-1.25], [-2.25]])
    squashed = Perceptron(activation=jax.nn.sigmoid).apply({"params": params}, x)
    np.testing.assert_allclose(squashed, 1 / (1 + np.exp([[1.25], [2.25]])), rtol=1e-6)
