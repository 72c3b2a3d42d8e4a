"""AlexNet. Paper: Krizhevsky, 2014."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Conv, Dropout, Dtype, max_pool


class AlexNet(nn.Module):
    """Classify images by five convolutions and three dense layers (Krizhevsky, 2014: one column of filters).

    small: for images of about 32 pixels: 3-wide first filters and non-overlapping pooling windows.
    """

    outputs: int
    hidden: int = 4096
    small: bool = False
    dropout: float = 0.5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, height, width, C]`, 224 pixels a side unless `small`."""
        x = jnp.asarray(inputs)
        # channels, kernel, stride, padding, whether max-pooling follows
        first = (
            [(64, 3, 1, 1, True), (192, 3, 1, 1, True)] if self.small else [(64, 11, 4, 2, True), (192, 5, 1, 2, True)]
        )
        for channels, kernel, stride, padding, pooled in [
            *first,
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ]:
            x = nn.relu(Conv(channels, kernel, stride, padding, dtype=self.dtype)(x))
            if pooled:
                x = max_pool(x, 2) if self.small else max_pool(x, 3, 2)
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(Dropout(self.dropout)(x, train=train)))
        return nn.Dense(self.outputs)(x)
