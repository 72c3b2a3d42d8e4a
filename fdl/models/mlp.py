"""The multilayer perceptron.

Shape legend: B batch, C categorical columns.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.layers import Activation, Dropout, Dtype, Normalisation, normalise


class MLP(nn.Module):
    """Hidden layers (dense, normalisation, activation, dropout) of the given widths, then a linear output layer.

    residual:   add a layer's input to its output where their widths agree (He et al., 2015).
    categories: cardinality of each categorical column; its embedding is about half as wide, at most 50 (Guo and
                Berkhahn, 2016).

    >>> model = MLP(outputs=3, hidden=(16,))
    >>> variables = model.init(jax.random.key(0), jnp.ones((2, 4)))
    >>> jax.tree.map(jnp.shape, variables["params"])
    {'Dense_0': {'bias': (16,), 'kernel': (4, 16)}, 'Dense_1': {'bias': (3,), 'kernel': (16, 3)}}
    """

    outputs: int
    hidden: tuple[int, ...] = (128, 128)
    categories: tuple[int, ...] = ()
    activation: Activation = nn.relu
    norm: Normalisation = "none"
    dropout: float = 0.0
    residual: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, inputs: Array, categories: Array | None = None, *, weights: Array | None = None, train: bool = False
    ) -> jax.Array:
        """Return f32[B, outputs].

        inputs:     f32[B, ...], flattened to [B, features].
        categories: i32[B, C], the category index of each categorical column.
        """
        if not isinstance(self.hidden, tuple | list):
            raise UserError(f"hidden is {self.hidden!r}; give a width per layer in a tuple, such as ({self.hidden},)")
        x = jnp.reshape(inputs, (inputs.shape[0], -1))
        if categories is not None:
            if categories.shape[1] != len(self.categories):
                raise UserError(f"{categories.shape[1]} categorical columns, but categories={self.categories}")
            columns = [
                nn.Embed(size, min(50, (size + 1) // 2), dtype=self.dtype)(categories[:, i])
                for i, size in enumerate(self.categories)
            ]
            x = jnp.concatenate([x, *columns], axis=-1)
        for width in self.hidden:
            y = nn.Dense(width, dtype=self.dtype)(x)
            y = self.activation(normalise(y, self.norm, weights=weights, train=train, dtype=self.dtype))
            y = Dropout(self.dropout)(y, train=train)
            x = x + y if self.residual and x.shape == y.shape else y
        return nn.Dense(self.outputs)(x)
