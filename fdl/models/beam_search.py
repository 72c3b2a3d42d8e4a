"""Writing a sequence with a model that was taught by forcing: the likeliest one that a beam of candidates finds.

Shape legend: B batch, W beam width, T written positions, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.types import Array, PyTree

Score = Callable[[PyTree, jax.Array], jax.Array]


class Written(NamedTuple):
    """What was written, the likeliest first.

    tokens: i32[B, W, T], filled with the stop token from the end on; scores: f32[B, W], log-probabilities.
    """

    tokens: jax.Array
    scores: jax.Array


def search(score: Score, inputs: PyTree, *, start: int, stop: int, length: int, width: int = 4) -> Written:
    """Return the `width` likeliest sequences of at most `length` tokens that a beam finds; width 1 is greedy decoding.

    score:  pure, `(inputs, written: i32[N, T]) -> logits f32[N, T, V]` of what comes after each place; `written` begins
            with the start token, and what stands behind a place must not matter there.
    inputs: what is read, a pytree of array[B, ...].
    Nothing is cached: each token costs one pass over all T places, which short sequences forgive. It ends when every
    candidate has.
    """
    batch = len(jax.tree.leaves(inputs)[0])
    sources = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), width, 0), inputs)
    first = jnp.arange(width)[None] == 0  # all candidates begin alike, so all but one are out until they differ
    scores = jnp.broadcast_to(jnp.where(first, 0.0, -jnp.inf), (batch, width))
    tokens = jnp.full((batch, width, length + 1), stop, jnp.int32).at[:, :, 0].set(start)

    def write(place: Array, found: Written) -> Written:
        written = found.tokens.reshape(batch * width, length + 1)[:, :length]
        logits = jnp.take(score(sources, written), place, axis=1)
        step = jax.nn.log_softmax(logits.astype(jnp.float32)).reshape(batch, width, -1)
        size = step.shape[-1]
        last = jnp.take(found.tokens, place, axis=2)
        ended = (last == stop) & (place > 0)
        only_stop = jnp.where(jnp.arange(size) == stop, 0.0, -jnp.inf)[None, None]
        step = jnp.where(ended[..., None], only_stop, step)
        scores = (found.scores[..., None] + step).reshape(batch, -1)
        best, chosen = lax.top_k(jnp.where(jnp.isnan(scores), -jnp.inf, scores), width)  # which takes NaN for the best
        kept = jnp.take_along_axis(found.tokens, (chosen // size)[..., None], 1)
        return Written(kept.at[:, :, place + 1].set(chosen % size), best)

    def going(carry: tuple[jax.Array, Written]) -> jax.Array:
        place, found = carry
        ended = jnp.take(found.tokens, place, axis=2) == stop
        return (place < length) & ((place == 0) | ~jnp.all(ended))

    def advance(carry: tuple[jax.Array, Written]) -> tuple[jax.Array, Written]:
        return carry[0] + 1, write(*carry)

    _, found = lax.while_loop(going, advance, (jnp.int32(0), Written(tokens, scores)))
    return found._replace(tokens=found.tokens[:, :, 1:])
