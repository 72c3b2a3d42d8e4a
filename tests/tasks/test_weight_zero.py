"""What weighs nothing changes nothing: neither the sums nor the gradients, whatever stands there."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core import steps
from fdl.core.forward import forward
from fdl.core.types import Batch, TokenLogits
from fdl.tasks import binary, classify, ctc, detect, embed, masked_token, multi_label, next_token, regress, seq2seq

RNG = np.random.default_rng(0)
ROWS = np.array([1, 0.5, 0, 2, 0, 1], np.float32)
TOKENS = np.where(RNG.random((6, 4)) < 0.5, 0, RNG.uniform(0.5, 2, (6, 4))).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def boxes(*shape: int) -> np.ndarray:
    low = RNG.uniform(0, 0.5, (*shape, 2))
    return np.concatenate([low, low + RNG.uniform(0.1, 0.5, low.shape)], -1).astype(np.float32)


LABELS = RNG.integers(0, 3, 6)
CASES = {
    "binary": (binary(), normal(6, 1), RNG.integers(0, 2, 6), ROWS),
    "classify": (classify(3, smoothing=0.1), normal(6, 3), LABELS, ROWS),
    "classify mixed": (classify(3), normal(6, 3), RNG.dirichlet(np.ones(3), 6).astype(np.float32), ROWS),
    "classify tokens": (classify(3), normal(6, 4, 3), RNG.integers(0, 3, (6, 4)), TOKENS),
    "multi_label": (multi_label(3), normal(6, 3), RNG.integers(0, 2, (6, 3)), ROWS),
    "regress": (regress(center=1.0, scale=2.0), normal(6, 2), normal(6, 2), ROWS),
    "regress values": (regress(), normal(6, 4), normal(6, 4), TOKENS),
    "next_token": (next_token(), normal(6, 4, 5), RNG.integers(0, 5, (6, 4)), TOKENS),
    "next_token rows": (next_token(), normal(6, 4, 5), RNG.integers(0, 5, (6, 4)), ROWS),
    "masked_token": (masked_token(), normal(6, 4, 5), RNG.integers(0, 5, (6, 4)), TOKENS),
    "seq2seq": (seq2seq(stop=1), {"logits": normal(6, 4, 5)}, RNG.integers(0, 5, (6, 4)), TOKENS),
    "ctc": (ctc(), normal(6, 5, 3), RNG.integers(1, 3, (6, 2)), ROWS),
    "detect": (
        detect(3, 6),
        {"class": normal(6, 2, 2, 3), "box": boxes(6, 2, 2)},
        {"box": boxes(6, 2), "label": RNG.integers(0, 3, (6, 2)), "row": np.arange(6)},
        ROWS,
    ),
    "embed": (embed(6), normal(6, 4), {"label": LABELS, "row": np.arange(6)}, ROWS),
    "embed triplets": (embed(6, loss="triplet"), normal(6, 4), {"label": LABELS, "row": np.arange(6)}, ROWS),
}


def spoiled(tree, weights: np.ndarray, with_what: float):
    """The same with this number in every float that weighs nothing."""

    def one(x):
        if x.dtype.kind != "f":
            return x
        idle = (weights == 0).reshape(weights.shape + (1,) * (x.ndim - weights.ndim))
        return np.where(idle, np.float32(with_what), x)

    return jax.tree.map(one, tree)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("name", CASES)
def test_what_weighs_nothing_reaches_neither_sums_nor_gradients(name: str, number: float) -> None:
    task, outputs, targets, weights = CASES[name]

    def loss(outputs, targets):
        sums = task(outputs, Batch(None, targets, weights))
        return sums["loss"].total, sums

    differentiate = jax.jit(jax.grad(loss, has_aux=True))
    clean, sums = differentiate(outputs, targets)
    gradient, others = differentiate(spoiled(outputs, weights, number), spoiled(targets, weights, number))
    chex.assert_trees_all_equal(others, sums)
    chex.assert_trees_all_equal(gradient, clean)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))


def test_hidden_states_that_weigh_nothing_are_kept_out_of_the_gradient_of_their_table() -> None:
    """The table of a vocabulary as large as the batch has no rows that weigh nothing."""
    hidden, table, targets = normal(6, 4, 8), normal(6, 8), RNG.integers(0, 6, (6, 4))

    def loss(hidden, table):
        return next_token()(TokenLogits(hidden, table, None), Batch(None, targets, ROWS))["loss"].total

    def reference(hidden, table):
        return next_token()(hidden @ table.T, Batch(None, targets, ROWS))["loss"].total

    for number in (np.nan, 0.0):
        found = jax.grad(loss, (0, 1))(spoiled(hidden, ROWS, number), table)
        expected = jax.grad(reference, (0, 1))(spoiled(hidden, ROWS, 0.0), table)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


@pytest.mark.parametrize("number", [np.nan, np.inf, 3e38])
def test_an_example_that_weighs_nothing_may_hold_anything(number: float) -> None:
    import optax

    from fdl.models import MLP

    batch = Batch(normal(6, 3), LABELS, ROWS)
    spoilt = batch._replace(inputs=spoiled(batch.inputs, ROWS, number))
    step = jax.jit(steps.train_step(steps.total_gradient(MLP(3, (4,)), classify(3)), optax.sgd(0.1)))
    state = steps.init(MLP(3, (4,)), optax.sgd(0.1), batch, 0)
    chex.assert_trees_all_equal(step(state, spoilt)[0].params, step(state, batch)[0].params)


def test_inputs_that_are_predicted_by_nobody_are_seen_all_the_same() -> None:
    """A prompt weighs nothing as a target; only an example that weighs nothing anywhere is blank."""
    seen = []
    batch = Batch(jnp.ones((2, 4, 1)), None, jnp.array([[0.0, 0, 0, 1], [0, 0, 0, 0]]))

    from flax import linen as nn

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            seen.append(x)
            return x

    forward(Spy(), {}, {}, batch)
    np.testing.assert_array_equal(seen[0][:, :, 0], [[1, 1, 1, 1], [0, 0, 0, 0]])


def test_a_smoothed_loss_is_that_of_the_tokens_that_weigh() -> None:
    task, logits, targets = classify(5, smoothing=0.2), normal(6, 4, 5), RNG.integers(0, 5, (6, 4))
    kept = TOKENS > 0
    whole = task.finish(task(logits, Batch(None, targets, TOKENS)))
    alone = task.finish(task(logits[kept], Batch(None, targets[kept], TOKENS[kept])))
    np.testing.assert_allclose(whole["loss"], alone["loss"], rtol=1e-6)
