"""A model of one sequence into another that can be asked to write by itself.

Shape legend: B batch, S source positions, T written positions, V vocabulary.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.types import Array, PyTree
from fdl.models.beam_search import search


class AutoregressiveDecoder(nn.Module):
    """Teach an encoder–decoder by forcing; outside training, let it write as well, greedily and with a beam.

    model: such as `Seq2SeqRNN`. start, stop: tokens that begin and end what is written. width: candidates of the beam.
    """

    model: nn.Module
    start: int
    stop: int
    width: int = 4

    @nn.compact
    def __call__(
        self, sources: Array, written: Array, source_lengths: Array | None = None, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """Return {"logits": f32[B, T, V]}, outside training also "greedy" and "beam", i32[B, T], filled up with `stop`.

        The arguments are those of `Seq2SeqRNN`; of `written`, what the model writes by itself takes only the length T.
        """
        logits = self.model(sources, written, source_lengths, train=train)
        if train or self.is_initializing():
            return {"logits": logits}
        model, variables = self.model.unbind()
        inputs = {"sources": sources, **({} if source_lengths is None else {"source_lengths": source_lengths})}

        def score(inputs: PyTree, written: jax.Array) -> jax.Array:
            return jnp.asarray(model.apply(variables, written=written, **inputs))

        def write(width: int) -> jax.Array:
            found = search(score, inputs, start=self.start, stop=self.stop, length=written.shape[1], width=width)
            return found.tokens[:, 0]

        return {"logits": logits, "greedy": write(1), "beam": write(self.width)}
