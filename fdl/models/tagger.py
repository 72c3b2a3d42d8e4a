"""A tagger: a tag for each word, from the words of the sentence and the letters of each. Paper: Lample et al., 2016.

Shape legend: B batch, T words of a sentence, L letters of a word, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array
from fdl.models.layers import Dropout, length_mask
from fdl.models.rnn import RNN, Cell


class Tagger(nn.Module):
    """Bidirectional recurrent layers over words: of each an embedding, and what such a layer reads of its letters.

    words, letters: sizes of the two vocabularies; 0 is padding. width: of a direction of the layers over words.
    embedding, spelling: widths of a word's embedding, and of a direction of the layer over letters.
    """

    outputs: int
    words: int
    letters: int
    width: int = 128
    embedding: int = 64
    spelling: int = 32
    depth: int = 1
    cell: Cell = "gru"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, words: Array, letters: Array, lengths: Array, *, train: bool = False) -> jax.Array:
        """Return f32[B, T, outputs] from `words: i32[B, T]`, `letters: i32[B, T, L]` and `lengths: i32[B]`."""
        batch, time, spelled = letters.shape
        flat = jnp.reshape(letters, (batch * time, spelled))
        read = RNN(None, self.letters, self.spelling, cell=self.cell, bidirectional=True, name="spelling")
        spelling = jnp.reshape(read(flat, jnp.sum(flat > 0, axis=1)), (batch, time, -1))
        x = jnp.concatenate([nn.Embed(self.words, self.embedding)(words), spelling], axis=-1)
        x = Dropout(self.dropout)(x, train=train)
        x = jnp.where(length_mask(lengths, time)[..., None], x, 0)
        sentence = RNN(
            self.outputs,
            width=self.width,
            depth=self.depth,
            cell=self.cell,
            return_sequences=True,
            bidirectional=True,
            dropout=self.dropout,
            name="sentence",
        )
        return sentence(x, lengths, train=train)
