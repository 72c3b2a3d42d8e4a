"""Writing: what may be chosen, and that a cache changes nothing but the time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import random_variables
from fdl.models import RNN, gpt
from fdl.models.sampling import Sampling, choose, write

KEY = jax.random.key(0)
LOGITS = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3]]))
PROMPT = np.array([[3, 1, 4], [1, 5, 2]])


def chosen(**how):
    draw = jax.jit(lambda: jax.vmap(lambda key: choose(LOGITS, key, **how)[0])(jax.random.split(KEY, 300)))
    return np.bincount(draw(), minlength=4) / 300


def test_tokens_are_chosen_by_their_probability():
    np.testing.assert_allclose(chosen(), [0.1, 0.4, 0.2, 0.3], atol=0.08)
    np.testing.assert_allclose(chosen(temperature=0.5), np.square([1, 4, 2, 3]) / 30, atol=0.08)


@pytest.mark.parametrize(
    ("how", "allowed"),
    [
        ({"temperature": 0.0}, {1}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 2, 3}),
        ({"top_k": 9}, {0, 1, 2, 3}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.65}, {1, 3}),
        ({"top_p": 0.65, "top_k": 1}, {1}),
    ],
)
def test_only_likely_tokens_are_chosen(how, allowed):
    assert set(np.flatnonzero(chosen(**how))) == allowed


@pytest.mark.parametrize(
    ("how", "most"),
    [({"top_k": 1}, 1), ({"top_k": 3}, 3), ({"top_p": 0.5}, 4), ({"top_p": 0.1}, 1), ({"top_k": 99}, 8)],
)
def test_of_equally_likely_tokens_exactly_as_many_are_left(how, most):
    draw = jax.jit(jax.vmap(lambda key: choose(jnp.zeros((1, 8)), key, **how)[0]))
    assert set(np.asarray(draw(jax.random.split(KEY, 800))).tolist()) == set(range(most))


@pytest.mark.parametrize("temperature", [1e-3, 1e-20, 1e-40, 1e-300, 0.0])
def test_a_temperature_near_nothing_takes_the_likeliest(temperature):
    for logits in (LOGITS, LOGITS * 1e30, LOGITS.at[0, 1].set(jnp.inf), LOGITS.at[0, 0].set(jnp.nan)):
        keys = jax.random.split(KEY, 50)
        drawn = jax.vmap(lambda key, logits=logits: choose(logits, key, temperature=temperature)[0])(keys)
        assert set(np.asarray(drawn).tolist()) == {1}


def test_no_token_of_little_probability_is_lost_where_all_may_be_chosen():
    logits = jnp.concatenate([jnp.full((1, 1), 20.0), jnp.zeros((1, 5000))], 1)  # the rest sums to less than rounding
    draw = jax.jit(jax.vmap(lambda key: choose(logits, key, temperature=3.0)[0]))
    assert (np.asarray(draw(jax.random.split(KEY, 200))) > 4000).any()


@pytest.mark.parametrize("how", [{"top_k": 0}, {"temperature": float("nan")}, {"temperature": -1}, {"top_p": 0}])
def test_sampling_that_makes_no_sense_is_refused(how):
    with pytest.raises(ValueError, match=r"top_k 0 leaves no token|must be 0 or more and top_p"):
        Sampling(**how).check()


MODELS = [
    gpt(11, width=8, depth=1, heads=2, context=9),
    gpt(11, width=8, depth=1, heads=2, context=9, positions="rotary"),
    RNN(11, 11, width=6, return_sequences=True),
]


@pytest.mark.parametrize("model", MODELS, ids=["learned", "rotary", "lstm"])
def test_the_cached_model_writes_what_the_uncached_one_does(model):
    variables = jax.tree.map(lambda x: 3 * x, random_variables.variables(model, PROMPT))  # far from uniform
    written = write(model, variables, PROMPT, KEY, count=6, sampling=Sampling(temperature=2.0))

    @jax.jit
    def log(text, t):
        logits = model.apply(variables, text)[:, 2 + t]
        return choose(logits, jax.random.fold_in(KEY, t), temperature=2.0)

    text = np.pad(PROMPT, [(0, 0), (0, 6)])
    for t in range(6):
        text[:, 3 + t] = log(text, t)
    np.testing.assert_array_equal(written, text[:, 3:])
