"""Beam search: approximately the most likely output sequence of a model trained with teacher forcing.

Shape legend: B batch, W beam width, T output positions, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.types import Array, PyTree

Score = Callable[[PyTree, jax.Array], jax.Array]


class Beam(NamedTuple):
    """The hypotheses of a beam, most likely first.

    tokens: i32[B, W, T], padded with the stop token; scores: f32[B, W], log-probabilities.
    """

    tokens: jax.Array
    scores: jax.Array


def search(score: Score, inputs: PyTree, *, start: int, stop: int, length: int, width: int = 4) -> Beam:
    """Return the `width` most likely sequences of at most `length` tokens in the beam; width 1 is greedy decoding.

    score:  pure and causal, `(inputs, prefix: i32[N, T]) -> logits f32[N, T, V]` of the token after each position;
            `prefix` begins with the start token.
    inputs: the source, a pytree of array[B, ...].
    There is no key-value cache: each token costs one pass over all T positions, acceptable for short sequences. The
    loop ends when every hypothesis has.
    """
    batch = len(jax.tree.leaves(inputs)[0])
    sources = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), width, 0), inputs)
    # All hypotheses start identical; a score of -inf excludes all but one until they differ.
    first = jnp.arange(width)[None] == 0
    scores = jnp.broadcast_to(jnp.where(first, 0.0, -jnp.inf), (batch, width))
    tokens = jnp.full((batch, width, length + 1), stop, jnp.int32).at[:, :, 0].set(start)

    def extend(position: Array, beam: Beam) -> Beam:
        prefix = beam.tokens.reshape(batch * width, length + 1)[:, :length]
        logits = jnp.take(score(sources, prefix), position, axis=1)
        step = jax.nn.log_softmax(logits.astype(jnp.float32)).reshape(batch, width, -1)
        size = step.shape[-1]
        last = jnp.take(beam.tokens, position, axis=2)
        ended = (last == stop) & (position > 0)
        only_stop = jnp.where(jnp.arange(size) == stop, 0.0, -jnp.inf)[None, None]
        step = jnp.where(ended[..., None], only_stop, step)
        scores = (beam.scores[..., None] + step).reshape(batch, -1)
        best, top = lax.top_k(jnp.where(jnp.isnan(scores), -jnp.inf, scores), width)  # which takes NaN for the best
        parents = jnp.take_along_axis(beam.tokens, (top // size)[..., None], 1)
        return Beam(parents.at[:, :, position + 1].set(top % size), best)

    def going(carry: tuple[jax.Array, Beam]) -> jax.Array:
        position, beam = carry
        ended = jnp.take(beam.tokens, position, axis=2) == stop
        return (position < length) & ((position == 0) | ~jnp.all(ended))

    def advance(carry: tuple[jax.Array, Beam]) -> tuple[jax.Array, Beam]:
        return carry[0] + 1, extend(*carry)

    _, beam = lax.while_loop(going, advance, (jnp.int32(0), Beam(tokens, scores)))
    return beam._replace(tokens=beam.tokens[:, :, 1:])
