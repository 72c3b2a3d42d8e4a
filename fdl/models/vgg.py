"""VGG: small filters, many of them. Paper: Simonyan and Zisserman, 2014."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.layers import Conv, Dropout, Dtype, max_pool, normalise

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Classify images by stages of 3-wide convolutions, each stage pooled to half the side.

    depth:  number of layers with weights: 11, 13, 16 or 19.
    hidden: width of the two hidden dense layers; 512 suffices for images of 32 pixels.
    """

    outputs: int
    depth: int = 16
    norm: Literal["none", "batch"] = "none"
    hidden: int = 4096
    dropout: float = 0.5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, weights: Array | None = None, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, height, width, C]`, sides a multiple of 32, 224 in the paper."""
        if self.depth not in STAGES:
            raise UserError(f"VGG has no depth {self.depth}; choose {', '.join(map(str, STAGES))}")
        x = jnp.asarray(inputs)
        for channels, layers in zip(CHANNELS, STAGES[self.depth], strict=True):
            for _ in range(layers):
                x = Conv(channels, 3, dtype=self.dtype)(x)
                x = nn.relu(normalise(x, self.norm, weights=weights, train=train, dtype=self.dtype))
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = Dropout(self.dropout)(nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x)), train=train)
        return nn.Dense(self.outputs)(x)
