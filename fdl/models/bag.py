"""A bag of what stands side by side: no depth, and hard to beat on short texts. Paper: Joulin et al., 2017.

Shape legend: B batch, T positions, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Dropout, counts

_MIX = 0x9E3779B1  # odd, so that with_matmul_precision by it loses nothing


class Bag(nn.Module):
    """Answer from the sum of the vectors of all runs of 1 to `longest` tokens, by one hidden layer.

    buckets: rows of the table of vectors. The row of a run is its hash, so that no list of runs is kept and those that
             fall together share a vector (Weinberger et al., 2009).
    """

    outputs: int
    width: int = 32
    longest: int = 5
    buckets: int = 2**16
    hidden: int = 128
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, lengths: Array | None = None, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: i32[B, T]`, of whose rows `lengths: i32[B]` tokens count (None: all)."""
        batch, time = inputs.shape
        ends = jnp.full((batch,), time) if lengths is None else jnp.asarray(lengths)
        table = nn.Embed(self.buckets, self.width)
        code, bag = jnp.zeros((batch, time), jnp.uint32), jnp.zeros((batch, self.width))
        for run in range(min(self.longest, time)):
            before = jnp.pad(code[:, :-1], ((0, 0), (1, 0)))
            code = (before ^ (jnp.asarray(inputs).astype(jnp.uint32) + 1)) * jnp.uint32(_MIX)
            whole = counts(ends, time) & (jnp.arange(time) >= run)[None]
            rows = (code ^ (code >> 15)) % jnp.uint32(self.buckets)
            bag = bag + jnp.where(whole[..., None], table(rows.astype(jnp.int32)), 0).sum(1)
        bag = bag / jnp.sqrt(jnp.maximum(self.longest * ends, 1).astype(jnp.float32))[:, None]
        bag = Dropout(self.dropout)(bag, train=train)
        x = nn.relu(nn.Dense(self.hidden)(bag))
        return nn.Dense(self.outputs)(Dropout(self.dropout)(x, train=train))
