"""The vision Transformer: an image is a sequence of patches. Paper: Dosovitskiy et al., 2020.

Shape legend: B batch, C channels, N patches, D width.
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.kernels.block_stack import apply_blocks
from fdl.models.layers import Conv, Dropout, Dtype, stack
from fdl.models.transformer import Block, normal

Size = Literal["tiny", "small", "base", "large"]
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


class ViT(nn.Module):
    """Classify an image by a Transformer encoder over its patches and a class token.

    The defaults are ViT-B/16. A side that is no multiple of `patch` is padded with zeros.
    """

    outputs: int
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    dropout: float = 0.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, height, width, C]`."""
        x = Conv(self.width, self.patch, self.patch, dtype=self.dtype, kernel_init=normal, name="embed")(
            jnp.asarray(inputs)
        )
        x = x.reshape(x.shape[0], -1, self.width)
        class_token = self.param("answer", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.broadcast_to(class_token, (x.shape[0], 1, self.width)).astype(x.dtype), x], axis=1)
        x = x + self.param("positions", normal, (1, x.shape[1], self.width)).astype(x.dtype)
        x = Dropout(self.dropout)(x, train=train)
        gelu = functools.partial(nn.gelu, approximate=False)
        block = functools.partial(
            Block, self.heads, activation=gelu, epsilon=1e-6, dropout=self.dropout, dtype=self.dtype
        )
        x = apply_blocks(self, block, len(stack(self.depth)), x, train=train)
        x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x)
        return nn.Dense(self.outputs, kernel_init=normal, name="head")(x[:, 0])


def vit(
    size: Size = "base", outputs: int = 1000, *, patch: int = 16, dropout: float = 0.0, dtype: Dtype | None = None
) -> ViT:
    """Make a vision Transformer of a published size, 6 to 304 million parameters at patches of 16 pixels."""
    width, depth, heads = SIZES[size]
    return ViT(outputs, patch, width, depth, heads, dropout=dropout, dtype=dtype)
