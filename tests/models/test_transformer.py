"""The Transformer: no look ahead, padding that changes nothing, attention that can be looked at."""

import jax
import numpy as np
import pytest

import random_variables
from fdl.models import BERT, SequenceClassifier, Transformer
from fdl.models.attention import rotate

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
LENGTHS = np.array([5, 1, 3])
PADDED = np.where((np.arange(5)[None] < LENGTHS[:, None])[..., None], X, np.float32(99))


def test_the_future_is_not_seen():
    model = Transformer(4, width=8, depth=1, causal=True, return_sequences=True)
    variables = random_variables.variables(model, X)
    slopes = jax.jit(jax.grad(lambda x: model.apply(variables, x)[:, 2].sum()))(X)
    assert (slopes[:, 3:] == 0).all()
    assert (slopes[:, :3] != 0).all()


def test_an_encoder_sees_the_future():
    model = Transformer(4, width=8, depth=1, return_sequences=True)
    variables = random_variables.variables(model, X)
    assert (jax.jit(jax.grad(lambda x: model.apply(variables, x)[:, 2].sum()))(X) != 0).all()


def test_padding_does_not_change_the_answer():
    model = Transformer(4, width=8, depth=1)
    variables = random_variables.variables(model, X)
    apply = jax.jit(model.apply)
    together = apply(variables, X, LENGTHS)
    np.testing.assert_array_equal(together, apply(variables, PADDED, LENGTHS))
    np.testing.assert_allclose(together[2:], apply(variables, X[2:, :3]), atol=1e-5)


@pytest.mark.parametrize("mean", [False, True])
def test_of_a_classified_sequence_padding_says_nothing_and_the_whole_does(mean):
    model = SequenceClassifier(3, BERT(50, 8, 1, 2, context=5, pooler=not mean), mean=mean)
    tokens = np.arange(15).reshape(3, 5)
    variables = random_variables.variables(model, tokens)
    apply = jax.jit(model.apply)
    answer = apply(variables, tokens, LENGTHS)
    padded = np.where(np.arange(5)[None] < LENGTHS[:, None], tokens, 49)
    np.testing.assert_array_equal(answer, apply(variables, padded, LENGTHS))
    last = apply(variables, np.where(np.arange(5)[None] == LENGTHS[:, None] - 1, 49, tokens), LENGTHS)
    assert (np.abs(answer - last).max(1) > 1e-3).all()


def test_attention_can_be_looked_at():
    model = Transformer(4, width=8, heads=2, depth=1)
    variables = random_variables.variables(model, X)
    _, seen = jax.jit(lambda v: model.apply(v, X, LENGTHS, mutable=["intermediates"]))(variables)
    (weights,) = jax.tree.leaves(seen)
    assert weights.shape == (3, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights[1, :, :, 1:] == 0).all()


def test_a_misfit_is_named():
    with pytest.raises(ValueError, match="width 10 does not divide over 4 heads; try 8"):
        jax.eval_shape(Transformer(1, width=10, heads=4).init, KEY, X)
    with pytest.raises(ValueError, match="5 positions do not fit context 4; set context=5"):
        jax.eval_shape(Transformer(1, context=4).init, KEY, X)


def test_rotated_products_depend_on_how_far_apart_positions_are_and_not_on_where():
    query, key = np.random.default_rng(0).normal(size=(2, 1, 4, 1, 6)).astype(np.float32)
    scores = [np.einsum("btk,bsk->bts", *(rotate(x, first)[:, :, 0] for x in (query, key))) for first in (0, 100)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    plain = np.einsum("btk,bsk->bts", query[:, :, 0], key[:, :, 0])
    np.testing.assert_allclose(
        np.diagonal(scores[0], axis1=1, axis2=2), np.diagonal(plain, axis1=1, axis2=2), atol=1e-5
    )
    assert np.abs(scores[0] - plain).max() > 0.1
