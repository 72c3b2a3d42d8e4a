"""The neuron: a weighted sum, a bias, an activation."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Activation


def identity(x: jax.Array) -> jax.Array:
    """Return `x`: the activation of a neuron whose task takes logits or any real number."""
    return x


class Perceptron(nn.Module):
    """Compute `activation(w·x + b)`, one neuron per output.

    With the identity, one output is logistic or linear regression and several are softmax regression, as the task says.
    Paper: Rosenblatt, 1958.
    """

    outputs: int = 1
    activation: Activation = identity

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, ...]`, whose further dimensions are laid side by side."""
        return self.activation(nn.Dense(self.outputs)(jnp.reshape(inputs, (inputs.shape[0], -1))))
