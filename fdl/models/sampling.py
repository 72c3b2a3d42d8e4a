"""Writing with a language model: choose a token, let the model read it, choose the next.

Shape legend: B batch, P prompt, T tokens to write, V vocabulary.
"""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from fdl.core.types import Array, PyTree


def choose(
    logits: jax.Array, key: Array, *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> jax.Array:
    """Return i32[B], a token for each row of `logits: f32[B, V]`.

    temperature: divides the logits; 0 takes the likeliest token.
    top_k:       only the k likeliest tokens can be chosen.
    top_p:       only the fewest likeliest tokens that together have at least this probability (Holtzman et al., 2019).
    """
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    ranked = jnp.sort(logits, axis=-1, descending=True)
    likely = nn.softmax(ranked)
    count = jnp.sum(jnp.cumsum(likely, axis=-1) - likely < top_p, axis=-1, keepdims=True)
    count = jnp.clip(count, 1, top_k)
    least = jnp.take_along_axis(ranked, count - 1, axis=-1)
    return jax.random.categorical(key, jnp.where(logits >= least, logits, -jnp.inf)).astype(jnp.int32)


@partial(jax.jit, static_argnames=("model", "count", "temperature", "top_k", "top_p"))
def write(
    model: nn.Module,
    variables: PyTree,
    prompt: Array,
    key: Array,
    *,
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> jax.Array:
    """Return i32[B, T], what the model writes after `prompt: i32[B, P]`, `count` tokens long.

    The model reads the prompt at once and then each token once: what it has read it keeps in its collection "cache".
    Token t is chosen with `fold_in(key, t)`.
    """
    assert "decode" in inspect.signature(type(model).__call__).parameters, f"{type(model).__name__} cannot go on"
    pick = partial(choose, temperature=temperature, top_k=top_k, top_p=top_p)

    def read(cache: PyTree, tokens: jax.Array) -> tuple[jax.Array, PyTree]:
        logits, kept = model.apply({**variables, "cache": cache}, tokens, decode=True, mutable=["cache"])
        return logits[:, -1], kept["cache"]

    def step(carry: tuple[PyTree, jax.Array], t: jax.Array) -> tuple[tuple[PyTree, jax.Array], jax.Array]:
        cache, token = carry
        logits, cache = read(cache, token[:, None])
        token = pick(logits, jax.random.fold_in(key, t))
        return (cache, token), token

    empty = jax.eval_shape(lambda: model.init(jax.random.key(0), prompt, decode=True))["cache"]
    logits, cache = read(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), empty), jnp.asarray(prompt))
    first = pick(logits, jax.random.fold_in(key, 0))
    _, rest = lax.scan(step, (cache, first), jnp.arange(1, count))
    return jnp.concatenate([first[:, None], rest.swapaxes(0, 1)], axis=1)
