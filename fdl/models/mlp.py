"""The multilayer perceptron: layers of neurons between inputs and outputs."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.models.layers import Activation, Dropout, Dtype, Normalisation, normalise
from fdl.types import Array


class MLP(nn.Module):
    """Compute `outputs` numbers through hidden layers of the given widths: dense, normalise, activate, drop."""

    outputs: int
    hidden: tuple[int, ...] = (128, 128)
    activation: Activation = nn.relu
    norm: Normalisation = "none"
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, weights: Array | None = None, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, ...]`, whose further dimensions are laid side by side."""
        x = jnp.reshape(inputs, (inputs.shape[0], -1))
        for width in self.hidden:
            x = nn.Dense(width, dtype=self.dtype)(x)
            x = self.activation(normalise(x, self.norm, weights=weights, train=train, dtype=self.dtype))
            x = Dropout(self.dropout)(x, train=train)
        return nn.Dense(self.outputs)(x)
