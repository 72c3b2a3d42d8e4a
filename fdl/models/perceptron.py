"""The perceptron: a single dense layer."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Activation


def identity(x: jax.Array) -> jax.Array:
    """Return `x`: the activation for logits and regression outputs."""
    return x


class Perceptron(nn.Module):
    """Compute `activation(w·x + b)`, one neuron per output.

    With the identity this is logistic, linear or softmax regression, depending on the task and number of outputs.
    Paper: Rosenblatt, 1958.

    >>> neuron = Perceptron(activation=jax.nn.sigmoid)
    >>> params = {"Dense_0": {"kernel": jnp.array([[2.0], [1.0]]), "bias": jnp.array([-3.0])}}
    >>> neuron.apply({"params": params}, jnp.array([[1.0, 1.0]])).item()
    0.5
    """

    outputs: int = 1
    activation: Activation = identity

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, ...]`, flattened."""
        result: jax.Array = self.activation(nn.Dense(self.outputs)(jnp.reshape(inputs, (inputs.shape[0], -1))))
        return result
