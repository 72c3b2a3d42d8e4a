"""One sequence into another: the target's future and the source's padding are not seen; attention can be drawn."""

import jax
import numpy as np
import pytest

import random_variables
from fdl.models import AutoregressiveDecoder, Seq2SeqRNN, Seq2SeqTransformer
from fdl.models.beam_search import search

SOURCES = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
PADDED = np.where((np.arange(5)[None] < np.array([[5], [2]]))[..., None], SOURCES, np.float32(99))
WRITTEN = np.array([[0, 1, 2, 3], [0, 3, 2, 1]])
CHANGED = np.array([[0, 1, 5, 5], [0, 3, 5, 5]])
LENGTHS = np.array([5, 2])
models = pytest.mark.parametrize("model", [Seq2SeqRNN(6, width=8), Seq2SeqTransformer(6, width=8, heads=2, depth=1)])


@models
def test_neither_what_is_yet_to_be_written_nor_padding_is_seen_and_the_attention_is_a_distribution(model):
    variables = random_variables.variables(model, SOURCES, WRITTEN, LENGTHS)

    @jax.jit
    def run(sources, written):
        return model.apply(variables, sources, written, LENGTHS, mutable=["intermediates"])

    logits, seen = run(SOURCES, WRITTEN)
    assert logits.shape == (2, 4, 6)
    other = run(SOURCES, CHANGED)[0]
    np.testing.assert_array_equal(logits[:, :2], other[:, :2])
    assert (np.asarray(logits) != other)[:, 2:].all()
    np.testing.assert_array_equal(logits, run(PADDED, WRITTEN)[0])
    assert (np.asarray(logits) != run(SOURCES + 1, WRITTEN)[0]).all()

    (weights,) = (np.asarray(leaf) for leaf in jax.tree.leaves(seen) if leaf.shape[2:] == (4, 5))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights[1, :, :, 2:] == 0).all()


@pytest.mark.parametrize("kind", [Seq2SeqRNN, Seq2SeqTransformer])
def test_token_sources_are_embedded(kind):
    model = kind(6, 7, width=8, depth=2)
    logits, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), WRITTEN, WRITTEN))
    assert logits.shape == (2, 4, 6)


def test_a_writer_is_taught_as_its_model_and_writes_what_its_model_would():
    inner = Seq2SeqRNN(6, 7, width=8)
    writer = AutoregressiveDecoder(inner, start=2, stop=3, width=3)
    variables = random_variables.variables(writer, WRITTEN, WRITTEN, LENGTHS[::-1] - 1)
    own = {"params": variables["params"]["model"]}

    @jax.jit
    def run():
        inputs = (WRITTEN, WRITTEN, LENGTHS[::-1] - 1)
        found = writer.apply(variables, *inputs), writer.apply(variables, *inputs, train=True)
        return *found, inner.apply(own, *inputs), beam(1), beam(3)

    def beam(width):
        def score(inputs, written):
            return inner.apply(own, *inputs[:1], written, inputs[1])

        return search(score, (WRITTEN, LENGTHS[::-1] - 1), start=2, stop=3, length=4, width=width).tokens[:, 0]

    found, taught, logits, greedy, best = run()
    assert set(taught) == {"logits"}
    for seen, expected in ((taught["logits"], logits), (found["logits"], logits)):
        np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["greedy"], greedy)
    np.testing.assert_array_equal(found["beam"], best)
