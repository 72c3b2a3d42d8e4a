import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.models.beam_search import search
from fdl.tasks import seq2seq

V, LENGTH, STOP = 4, 3, 0


def score(inputs, written):
    """A model that knows the row and all that was written, by way of a sum: logits f32[N, T, V]."""
    seen = jnp.cumsum(jnp.sin(written * 2.0 + 1), axis=1)
    return 2 * jnp.sin(3 * seen[..., None] * (1 + jnp.arange(V))[None, None] + inputs[:, None, None])


def log_probability(row, tokens):
    """Of a sequence up to and with its first stop token."""
    logits = np.asarray(score(jnp.array([row]), jnp.array([[V - 1, *tokens[:-1]]])))[0]
    shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    end = tokens.index(STOP) + 1 if STOP in tokens else len(tokens)
    return sum(shares[t, tokens[t]] for t in range(end))


INPUTS = np.array([0.1, 0.7, 2.0], np.float32)


def test_a_wide_beam_finds_the_likeliest_of_all_sequences():
    found = search(score, INPUTS, start=V - 1, stop=STOP, length=LENGTH, width=V**LENGTH)
    for row, tokens, scores in zip(INPUTS, found.tokens, found.scores, strict=True):
        ways = {tuple(w[: w.index(STOP)] if STOP in w else w) for w in itertools.product(range(V), repeat=LENGTH)}
        padded = [(*w, *(STOP,) * (LENGTH - len(w))) for w in ways]
        best = sorted(padded, key=lambda w: -log_probability(row, w))
        np.testing.assert_array_equal(tokens[:5], best[:5])
        np.testing.assert_allclose(scores[:5], [log_probability(row, w) for w in best[:5]], atol=1e-5)


def test_a_beam_of_one_takes_the_likeliest_token_each_time():
    found = search(score, INPUTS, start=V - 1, stop=STOP, length=LENGTH, width=1)
    for row, tokens in zip(INPUTS, found.tokens[:, 0].tolist(), strict=True):
        written = [V - 1]
        while len(written) <= LENGTH and (len(written) == 1 or written[-1] != STOP):
            written.append(int(score(jnp.array([row]), jnp.array([written]))[0, -1].argmax()))
        assert tokens == [*written[1:], *[STOP] * (LENGTH - len(written) + 1)]


def test_a_wider_beam_is_never_worse():
    scores = [
        search(score, INPUTS, start=V - 1, stop=STOP, length=LENGTH, width=w).scores[:, 0] for w in (1, V**LENGTH)
    ]
    assert np.all(scores[1] >= scores[0] - 1e-6)


@pytest.mark.parametrize("wrong", [False, True])
def test_teacher_forcing_says_right_exactly_where_greedy_decoding_writes_it(wrong):
    written = search(score, INPUTS, start=V - 1, stop=STOP, length=LENGTH, width=1).tokens[:, 0]
    targets = np.array(written)
    targets[0, 0] = (targets[0, 0] + wrong) % V
    forced = jnp.concatenate([jnp.full((3, 1), V - 1), targets[:, :-1]], 1)
    before = np.cumsum(np.pad(targets == STOP, ((0, 0), (1, 0)))[:, :-1], 1) == 0  # up to and with the first stop
    sums = seq2seq()(score(INPUTS, forced), Batch(None, targets, jnp.float32(before)))
    assert sums["sequences"].total == 3 - wrong
    assert jax.tree.all(jax.tree.map(np.isfinite, dict(sums)))
