"""A LeNet-style convolutional net: convolution and pooling stages, then dense layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.layers import Activation, Conv, Dropout, Dtype, Normalisation, max_pool, normalise


class CNN(nn.Module):
    """Stages of convolution and pooling, then dense layers. Paper: LeCun et al., 1998.

    The number of spatial dimensions follows from the inputs: 1 for audio, 2 for images, 3 for video.
    pool_first: the dense layers read the mean and the maximum over the first dimension, such as time, instead of every
                place of it: what is heard counts, not when (Lin et al., 2013, global average pooling).
    """

    outputs: int
    channels: tuple[int, ...] = (32, 64)
    hidden: tuple[int, ...] = (128,)
    kernel: int = 3
    norm: Normalisation = "none"
    activation: Activation = nn.relu
    dropout: float = 0.0
    pool_first: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, weights: Array | None = None, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, ..., C]`, for an image f32[B, height, width, C]."""
        x = jnp.asarray(inputs)
        if x.ndim < 3:
            raise UserError(f"inputs of shape {x.shape} have nothing to convolve over; give [B, ..., C], or use an MLP")
        for channels in self.channels:
            x = Conv(channels, self.kernel, bias=self.norm == "none", dtype=self.dtype)(x)
            x = max_pool(self.activation(normalise(x, self.norm, weights=weights, train=train, dtype=self.dtype)))
        if self.pool_first:
            x = jnp.concatenate([x.mean(1), x.max(1)], axis=-1)
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = Dropout(self.dropout)(self.activation(nn.Dense(width, dtype=self.dtype)(x)), train=train)
        return nn.Dense(self.outputs)(x)
