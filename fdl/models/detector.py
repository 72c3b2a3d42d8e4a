"""An anchor-free object detector: each cell of a coarse grid predicts class scores and a box.

Shape legend: B batch, H height and W width of the grid, C channels, K classes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Conv, Dtype, Normalisation, max_pool, normalise


class Detector(nn.Module):
    """Detect objects of `classes` classes in one pass. Paper: FCOS (Tian et al., 2019), with one feature level.

    channels: channels of each stage; every stage but the last halves the resolution.
    depth:    further convolutions on the grid, which widen the receptive field.
    """

    classes: int
    channels: tuple[int, ...] = (16, 32, 64)
    depth: int = 2
    norm: Normalisation = "batch"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, weights: Array | None = None, train: bool = False) -> dict[str, jax.Array]:
        """Return {"class": f32[B, H, W, K], "box": f32[B, H, W, 4]} from images f32[B, height, width, C].

        class: one logit per class. box: left, top, right and bottom as fractions of the image.
        """
        x = jnp.asarray(inputs)

        def convolve(x: jax.Array, channels: int) -> jax.Array:
            x = Conv(channels, bias=self.norm == "none", dtype=self.dtype)(x)
            return nn.relu(normalise(x, self.norm, weights=weights, train=train, dtype=self.dtype))

        for channels in self.channels[:-1]:
            x = max_pool(convolve(x, channels))
        for _ in range(1 + self.depth):
            x = convolve(x, self.channels[-1])
        # The class bias starts at a prior probability of 1 % (Lin et al., 2017), since most cells are background; boxes
        # start three cells wide.
        logits = nn.Dense(self.classes, bias_init=nn.initializers.constant(-4.6), name="class")(x)
        extent = 1.5 * jnp.exp(nn.Dense(4, name="reach")(x).astype(jnp.float32))
        height, width = x.shape[1:3]
        cells = jnp.array([width, height, width, height], jnp.float32).reshape(1, 1, 1, 4)
        signs = jnp.array([-1, -1, 1, 1], jnp.float32).reshape(1, 1, 1, 4)
        boxes = jnp.tile(cell_centers(height, width), 2)[None] + signs * extent / cells
        return {"class": logits.astype(jnp.float32), "box": boxes}


def cell_centers(height: int, width: int) -> jax.Array:
    """Return f32[H, W, 2], the x and y of each cell's center, as fractions of the image."""
    down, across = jnp.meshgrid((jnp.arange(height) + 0.5) / height, (jnp.arange(width) + 0.5) / width, indexing="ij")
    return jnp.stack([across, down], -1)
