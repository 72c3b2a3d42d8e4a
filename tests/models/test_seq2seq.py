"""One sequence into another: the target's future and the source's padding are not seen; attention can be drawn."""

import drawn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.models import Seq2SeqRNN, Seq2SeqTransformer
from fdl.models.layers import counts

SOURCES = jax.random.normal(jax.random.key(0), (2, 5, 3))
WRITTEN = jnp.array([[0, 1, 2, 3], [0, 3, 2, 1]])
LENGTHS = jnp.array([5, 2])
models = pytest.mark.parametrize("model", [Seq2SeqRNN(6, width=8), Seq2SeqTransformer(6, width=8, heads=2, depth=1)])


@models
def test_what_is_yet_to_be_written_is_not_seen_and_the_source_is(model):
    variables = drawn.variables(model, SOURCES, WRITTEN, LENGTHS)
    changed = WRITTEN.at[:, 2:].set(5)
    scribbled = jnp.where(counts(LENGTHS, 5)[..., None], SOURCES, 99.0)
    apply = jax.jit(model.apply)
    logits = apply(variables, SOURCES, WRITTEN, LENGTHS)
    assert logits.shape == (2, 4, 6)
    np.testing.assert_array_equal(logits[:, :2], apply(variables, SOURCES, changed, LENGTHS)[:, :2])
    assert (logits[:, 2:] != apply(variables, SOURCES, changed, LENGTHS)[:, 2:]).all()
    np.testing.assert_allclose(logits, apply(variables, scribbled, WRITTEN, LENGTHS), atol=1e-6)
    assert (logits != apply(variables, SOURCES + 1, WRITTEN, LENGTHS)).all()


@models
def test_the_attention_map_is_a_distribution_over_the_source(model):
    variables = drawn.variables(model, SOURCES, WRITTEN, LENGTHS)
    _, seen = jax.jit(lambda v: model.apply(v, SOURCES, WRITTEN, LENGTHS, mutable=["intermediates"]))(variables)
    maps = [leaf for leaf in jax.tree.leaves(seen) if leaf.shape[2:] == (4, 5)]
    assert len(maps) == 1
    np.testing.assert_allclose(maps[0].sum(axis=-1), 1, rtol=1e-5)
    assert (maps[0][1, :, :, 2:] == 0).all()


@pytest.mark.parametrize("kind", [Seq2SeqRNN, Seq2SeqTransformer])
def test_token_sources_are_embedded(kind):
    model = kind(6, 7, width=8, depth=2)
    logits, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), WRITTEN, WRITTEN))
    assert logits.shape == (2, 4, 6)
