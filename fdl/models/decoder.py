"""Autoregressive decoding with an encoder-decoder model.

Shape legend: B batch, S source positions, T target positions, V vocabulary.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array, PyTree
from fdl.models.beam_search import Beam, search


def decode(
    model: nn.Module, variables: PyTree, inputs: PyTree, *, start: int, stop: int, length: int, width: int = 1
) -> Beam:
    """Return the `width` most likely outputs of at most `length` tokens, as `search` has them; width 1 is greedy.

    model:  such as `Seq2SeqRNN`, with its variables. inputs: {"sources": [B, S, ...]} and, where their lengths differ,
            "source_lengths": i32[B].
    """

    def score(inputs: PyTree, decoder_inputs: jax.Array) -> jax.Array:
        return jnp.asarray(model.apply(variables, decoder_inputs=decoder_inputs, **inputs))

    return search(score, inputs, start=start, stop=stop, length=length, width=width)


class AutoregressiveDecoder(nn.Module):
    """Train an encoder-decoder with teacher forcing; in evaluation also decode greedily and by beam search.

    model: such as `Seq2SeqRNN`. start, stop: the start and end tokens of the output. width: beam width.
    """

    model: nn.Module
    start: int
    stop: int
    width: int = 4

    @nn.compact
    def __call__(
        self, sources: Array, decoder_inputs: Array, source_lengths: Array | None = None, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """Return {"logits": f32[B, T, V]}, in evaluation also "greedy" and "beam", i32[B, T], padded with `stop`.

        The arguments are those of `Seq2SeqRNN`; decoding uses only the length T of `decoder_inputs`.
        """
        logits = self.model(sources, decoder_inputs, source_lengths, train=train)
        if train or self.is_initializing():
            return {"logits": logits}
        model, variables = self.model.unbind()
        inputs = {"sources": sources, **({} if source_lengths is None else {"source_lengths": source_lengths})}

        def best(width: int) -> jax.Array:
            length = decoder_inputs.shape[1]
            found = decode(model, variables, inputs, start=self.start, stop=self.stop, length=length, width=width)
            return found.tokens[:, 0]

        return {"logits": logits, "greedy": best(1), "beam": best(self.width)}
