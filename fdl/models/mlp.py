"""The multilayer perceptron, of features and of windows of a series.

Shape legend: B batch, C categorical columns, T places of a window, K columns of a series, d features.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.layers import Activation, Dropout, Dtype, Normalisation, normalise


class MLP(nn.Module):
    """Hidden layers (dense, normalisation, activation, dropout) of the given widths, then a linear output layer.

    residual:   add a layer's input to its output where their widths agree (He et al., 2015).
    categories: cardinality of each categorical column; its embedding is about half as wide, at most 50 (Guo and
                Berkhahn, 2016).
    start:      the weights f[d + 1, outputs], biases first, of a linear model of the numbers and of the categories
                one-hot, to which hidden layers add, beginning with nothing; called at initialisation, on the host.

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
    start: Callable[[], np.ndarray] | None = None
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
        x = numbers = jnp.reshape(inputs, (inputs.shape[0], -1))
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
        if self.start is None:
            return nn.Dense(self.outputs)(x)
        one_hot = [jax.nn.one_hot(categories[:, i], size) for i, size in enumerate(self.categories)]  # type: ignore[index]
        linear = _linear(self.outputs, self.start)(jnp.concatenate([numbers, *one_hot], axis=-1))
        return linear + nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, name="head")(x)


class Forecaster(nn.Module):
    """A linear model of a window of the past, and what hidden layers add to it.

    Hidden layers begin by adding nothing. Features are those of `window_features`. Paper: Zeng et al., 2023 (NLinear).
    start: the weights that the linear model begins with, f[d + 1, outputs], its biases first; called at initialisation,
           on the host. None: zeros, the forecast of no change.
    """

    outputs: int
    hidden: tuple[int, ...] = (64, 64)
    dropout: float = 0.0
    start: Callable[[], np.ndarray] | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] of windows f32[B, T, K], the latest place last."""
        x = window_features(jnp.asarray(inputs))
        y = _linear(self.outputs, self.start)(x)
        if not self.hidden:
            return y
        for i, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x))
            x = Dropout(self.dropout)(x, train=train)
        return y + nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, name="head")(x)


def window_features(windows: Array) -> Any:
    """Return [B, T * K] of windows [B, T, K]: the values of each column less its last one, and the last one.

    A level that training lacks then moves one feature of a column, not all. NumPy in, NumPy out.
    """
    numpy = jnp if isinstance(windows, jax.Array) else np
    last = windows[:, -1:]
    return numpy.concatenate([windows[:, :-1] - last, last], axis=1).reshape(windows.shape[0], -1)


def _linear(outputs: int, start: Callable[[], np.ndarray] | None) -> nn.Dense:
    """Return the layer `linear`, which begins with the weights that `start` returns, or with zeros."""
    kernel, bias = (_from_start(start, rows) for rows in (slice(1, None), 0))
    return nn.Dense(outputs, kernel_init=kernel, bias_init=bias, name="linear")


def _from_start(start: Callable[[], np.ndarray] | None, rows: slice | int) -> nn.initializers.Initializer:
    """Return the initialiser with these rows of what `start` returns; shapes alone call nothing."""
    if start is None:
        return nn.initializers.zeros

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
        result: jax.Array = jax.pure_callback(
            lambda: np.asarray(start()[rows], dtype), jax.ShapeDtypeStruct(shape, dtype), vmap_method="sequential"
        )
        return result

    return init
