"""Sampling from a language model: temperature, top-k and top-p.

Shape legend: B batch, P prompt length, T generated tokens, V vocabulary.
"""

import inspect
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from fdl.core.errors import UserError
from fdl.core.types import Array, PyTree


def choose(
    logits: jax.Array, key: Array, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> jax.Array:
    """Sample i32[B], a token for each row of `logits: f32[B, V]`.

    temperature: divides the logits; 0 is greedy, the most likely token.
    top_k:       sample from the k most likely tokens; ties go to the lower index.
    top_p:       sample from the smallest set of most likely tokens with at least this total probability (nucleus
                 sampling; Holtzman et al., 2019).
    A NaN logit is never sampled.

    >>> logits = jnp.array([[0.0, 3.0, 1.0]])
    >>> choose(logits, jax.random.key(0), temperature=0).tolist()
    [1]
    >>> choose(logits, jax.random.key(0), top_k=1).tolist()
    [1]
    """
    logits = jnp.where(jnp.isnan(logits), -jnp.inf, logits.astype(jnp.float32))
    if temperature < jnp.finfo(jnp.float32).tiny:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    best = jnp.max(logits, axis=-1, keepdims=True)
    # The maximum is subtracted before the division, so it stays finite at any temperature.
    logits = jnp.where(logits == best, 0.0, logits - best) / temperature
    if top_p < 1 or top_k is not None:
        logits = jnp.where(_top_mask(logits, top_k, top_p), logits, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def _top_mask(logits: jax.Array, top_k: int | None, top_p: float) -> jax.Array:
    """Return the mask bool[B, V] of the tokens that `top_k` and `top_p` keep: exactly that many, ties by index."""
    ranked = jnp.sort(logits, axis=-1, descending=True)
    size = ranked.shape[-1]
    count = jnp.full((*ranked.shape[:-1], 1), size)
    if top_p < 1:
        probabilities = nn.softmax(ranked)
        count = jnp.sum(jnp.cumsum(probabilities, axis=-1) - probabilities < top_p, axis=-1, keepdims=True)
    count = jnp.clip(count, 1, min(size, top_k or size))
    least = jnp.take_along_axis(ranked, count - 1, axis=-1)
    tied = logits == least
    free = count - jnp.sum(logits > least, axis=-1, keepdims=True)
    return (logits > least) | (tied & (jnp.cumsum(tied, axis=-1) <= free))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen; see `choose`.

    seed: another number, another text.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Raise a ValueError where a number makes no sense."""
        if not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise UserError(
                f"temperature {self.temperature} must be 0 or more and top_p {self.top_p} above 0 and at most 1"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k {self.top_k} leaves no token to choose from; give 1 or more, or leave it out")


PLAIN = Sampling()


@partial(jax.jit, static_argnames=("model", "count", "sampling"))
def write(
    model: nn.Module, variables: PyTree, prompt: Array, key: Array, *, count: int, sampling: Sampling
) -> jax.Array:
    """Generate i32[B, T], `count` tokens after `prompt: i32[B, P]`.

    The prompt is processed in one call (prefill), then each token in one, with the collection "cache" carried along.
    Token t is sampled with `fold_in(key, t)`.
    """
    assert "decode" in inspect.signature(type(model).__call__).parameters, (
        f"{type(model).__name__} has no decode argument"
    )
    pick = partial(choose, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p)

    def forward(cache: PyTree, tokens: jax.Array) -> tuple[jax.Array, PyTree]:
        logits, kept = model.apply({**variables, "cache": cache}, tokens, decode=True, mutable=["cache"])
        return logits[:, -1], kept["cache"]

    def step(carry: tuple[PyTree, jax.Array], t: jax.Array) -> tuple[tuple[PyTree, jax.Array], jax.Array]:
        cache, token = carry
        logits, cache = forward(cache, token[:, None])
        token = pick(logits, jax.random.fold_in(key, t))
        return (cache, token), token

    empty = jax.eval_shape(lambda: model.init(jax.random.key(0), prompt, decode=True))["cache"]
    logits, cache = forward(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), empty), jnp.asarray(prompt))
    first = pick(logits, jax.random.fold_in(key, 0))
    _, rest = lax.scan(step, (cache, first), jnp.arange(1, count))
    return jnp.concatenate([first[:, None], rest.swapaxes(0, 1)], axis=1)
