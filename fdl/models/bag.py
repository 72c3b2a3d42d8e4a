"""A bag of n-grams: shallow, and a strong baseline on short texts. Paper: Joulin et al., 2017 (fastText).

Shape legend: B batch, T positions, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Dropout, length_mask

_MIX = 0x9E3779B1  # odd, so multiplication by it modulo 2^32 is invertible


class Bag(nn.Module):
    """Sum the embeddings of all n-grams of 1 to `longest` tokens, then apply one hidden layer.

    buckets: rows of the embedding table. An n-gram's row is its hash, so no n-gram vocabulary is kept and colliding
             n-grams share a vector (the hashing trick; Weinberger et al., 2009).
    """

    outputs: int
    width: int = 32
    longest: int = 5
    buckets: int = 2**16
    hidden: int = 128
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, lengths: Array | None = None, *, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: i32[B, T]` with `lengths: i32[B]` valid tokens per row (None: all)."""
        batch, time = inputs.shape
        ends = jnp.full((batch,), time) if lengths is None else jnp.asarray(lengths)
        table = nn.Embed(self.buckets, self.width)
        code, bag = jnp.zeros((batch, time), jnp.uint32), jnp.zeros((batch, self.width))
        for n in range(min(self.longest, time)):
            # Rolling hash: the code of an (n+1)-gram is made of that of the n-gram before its last token.
            before = jnp.pad(code[:, :-1], ((0, 0), (1, 0)))
            code = (before ^ (jnp.asarray(inputs).astype(jnp.uint32) + 1)) * jnp.uint32(_MIX)
            valid = length_mask(ends, time) & (jnp.arange(time) >= n)[None]
            rows = (code ^ (code >> 15)) % jnp.uint32(self.buckets)
            bag = bag + jnp.where(valid[..., None], table(rows.astype(jnp.int32)), 0).sum(1)
        bag = bag / jnp.sqrt(jnp.maximum(self.longest * ends, 1).astype(jnp.float32))[:, None]
        bag = Dropout(self.dropout)(bag, train=train)
        x = nn.relu(nn.Dense(self.hidden)(bag))
        return nn.Dense(self.outputs)(Dropout(self.dropout)(x, train=train))
