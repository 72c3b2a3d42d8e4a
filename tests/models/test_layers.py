"""Layers: masks per example, statistics of the whole batch and of nothing else."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import random_variables
from fdl.core.data_axis import DATA
from fdl.models.layers import BatchNorm, Conv, Dropout, max_pool, normalise

KEY = jax.random.key(0)


def shards(x):
    return x.reshape(8, -1, *x.shape[1:])


def test_dropout_masks_are_per_example():
    x = jnp.ones((64, 50))
    y = Dropout(0.5).apply({}, x, train=True, rngs={"dropout": KEY})
    assert len(np.unique(np.asarray(y), axis=0)) == 64
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_allclose(y.mean(), 1, atol=0.1)


def test_the_mask_of_an_example_does_not_depend_on_the_size_of_the_batch():
    mask = [Dropout(0.5).apply({}, jnp.ones((n, 9)), train=True, rngs={"dropout": KEY}) for n in (3, 6)]
    np.testing.assert_array_equal(mask[0], mask[1][:3])


def test_dropout_is_the_same_on_eight_devices():
    x = jax.random.normal(KEY, (16, 5))
    drop = lambda x: Dropout(0.3).apply({}, x, train=True, rngs={"dropout": KEY})  # noqa: E731
    np.testing.assert_array_equal(shards(jax.jit(drop)(x)), jax.pmap(drop, axis_name=DATA)(shards(x)))


def test_dropout_rests_in_evaluation():
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, train=False), x)


def test_batch_norm_is_the_same_on_eight_devices_two_of_them_all_padding():
    x = 3 + jax.random.normal(KEY, (24, 4, 5))
    weights = jnp.arange(24) < 16
    norm = BatchNorm()
    variables = random_variables.variables(norm, x, train=False)

    def step(variables, x, weights):
        def loss(params):
            y, model_state = norm.apply(
                {**variables, "params": params}, x, weights=weights, train=True, mutable=["batch_stats"]
            )
            return (jnp.sin(y).sum(axis=(1, 2)) * weights).sum(), (y, model_state)

        (total, (y, model_state)), grads = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        return y, model_state, total, grads

    y, model_state, total, grads = jax.jit(step)(variables, x, weights)
    split = jax.pmap(step, axis_name=DATA, in_axes=(None, 0, 0))(variables, shards(x), shards(weights))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    close(shards(y), split[0])
    jax.tree.map(lambda whole, part: close(whole, part[0]), model_state, split[1])
    close(total, split[2].sum())
    jax.tree.map(lambda whole, parts: close(whole, parts.sum(axis=0)), grads, split[3])


@pytest.mark.parametrize("dimensions", [(), (3, 2)])
def test_batch_norm_ignores_padding(dimensions):
    x = jax.random.normal(KEY, (6, *dimensions, 3))
    padded = jnp.concatenate([x, jnp.full((2, *dimensions, 3), 1e4)])
    norm = BatchNorm(momentum=0.0)
    variables = random_variables.variables(norm, x, train=False)
    apply = jax.jit(lambda x, w: norm.apply(variables, x, weights=w, train=True, mutable=["batch_stats"]))
    y, stats = apply(x, np.ones(6))
    weights = (jnp.arange(8) < 6).astype(jnp.float32)
    z, padded_stats = apply(padded, weights)
    np.testing.assert_allclose(y, z[:6], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats, padded_stats)
    np.testing.assert_allclose(y.mean(axis=tuple(range(y.ndim - 1))), 0, atol=1e-5)
    np.testing.assert_allclose(stats["batch_stats"]["var"], x.reshape(-1, 3).var(axis=0), rtol=1e-5)


def test_batch_norm_weighs_every_step_of_a_sequence():
    x = jax.random.normal(KEY, (2, 4, 3))
    weights = jnp.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    norm = BatchNorm(momentum=0.0)
    _, stats = norm.apply(
        random_variables.variables(norm, x, train=False), x, weights=weights, train=True, mutable=["batch_stats"]
    )
    seen = np.asarray(x)[np.asarray(weights) == 1]
    np.testing.assert_allclose(stats["batch_stats"]["mean"], seen.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 4), (16, 5, 6, 4)])
@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
def test_batch_norm_keeps_its_digits_from_the_first_step_on(shape, mean):
    x = (mean + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    exact, places = x.astype(np.float64), tuple(range(len(shape) - 1))
    expected = (exact - exact.mean(places)) / np.sqrt(exact.var(places) + 1e-5)

    def normalised(x):
        return BatchNorm().apply(
            random_variables.variables(BatchNorm(), x, train=True), x, train=True, mutable=["batch_stats"]
        )

    np.testing.assert_allclose(normalised(x)[0], expected, atol=1e-5 + mean * 2**-23)
    _, one = jax.jit(normalised)(x)
    _, eight = jax.pmap(normalised, axis_name=DATA)(shards(x))
    np.testing.assert_allclose(eight["batch_stats"]["var"][0], one["batch_stats"]["var"], rtol=1e-5)
    np.testing.assert_allclose(one["batch_stats"]["var"], 0.9 + 0.1 * exact.var(places), rtol=1e-5)


def test_the_gradient_of_batch_norm_is_that_of_the_formula():
    x, up = np.random.default_rng(0).normal(3, 1, size=(2, 8, 5, 4)).astype(np.float32)
    weights = np.array([1, 2, 0, 1, 0.5, 1, 0, 1], np.float32)

    def ours(x):
        variables = random_variables.variables(BatchNorm(), x, train=True)
        y, _ = BatchNorm().apply(variables, x, weights=weights, train=True, mutable=["batch_stats"])
        return (y * up * weights[:, None, None]).sum()

    def formula(x):
        share = weights[:, None, None] / weights.sum() / 5
        mean = (share * x).sum((0, 1), keepdims=True)
        var = (share * (x - mean) ** 2).sum((0, 1), keepdims=True)
        return ((x - mean) / jnp.sqrt(var + 1e-5) * up * weights[:, None, None]).sum()

    np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(formula)(x), atol=1e-5)


def test_a_batch_that_weighs_nothing_keeps_the_running_statistics():
    x = np.full((6, 3, 2), np.nan, np.float32)
    held = {"params": {"scale": jnp.ones(2), "bias": jnp.zeros(2)}}
    held["batch_stats"] = {"mean": jnp.array([1.0, 2.0]), "var": jnp.array([3.0, 4.0])}
    _, after = BatchNorm().apply(held, x, weights=jnp.zeros(6), train=True, mutable=["batch_stats"])
    chex.assert_trees_all_equal(after["batch_stats"], held["batch_stats"])


def test_a_batch_of_padding_alone_gives_no_nan():
    x = jnp.ones((2, 3))
    norm = BatchNorm()
    y, stats = norm.apply(
        random_variables.variables(norm, x, train=False), x, weights=jnp.zeros(2), train=True, mutable=["batch_stats"]
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, stats)))


def test_batch_norm_in_bfloat16_keeps_float32_statistics():
    x = jax.random.normal(KEY, (4, 3)).astype(jnp.bfloat16)
    y, variables = BatchNorm().init_with_output(KEY, x, train=True)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


class Normalised(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x):
        return normalise(x, self.kind, train=True)


@pytest.mark.parametrize(("kind", "dimensions"), [("batch", (0, 1, 2)), ("layer", 3), ("group", (1, 2, 3))])
def test_each_choice_normalises_over_its_own_dimensions(kind, dimensions):
    y, _ = Normalised(kind).init_with_output(KEY, 5 + jax.random.normal(KEY, (6, 4, 4, 3)))
    if kind == "group":  # gcd(32, 3): a single group of channels
        assert y.shape == (6, 4, 4, 3)
    np.testing.assert_allclose(y.mean(axis=dimensions), 0, atol=1e-5)


def test_an_unknown_normalisation_is_named():
    with pytest.raises(ValueError, match="'instance' is unknown; choose none, batch"):
        Normalised("instance").init(KEY, jnp.ones((1, 2)))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_convolution_equals_flax_in_every_number_of_dimensions(dimensions):
    x = jax.random.normal(KEY, (2, *(6,) * dimensions, 3))
    ours, theirs = Conv(4, 3, stride=2, padding=1), nn.Conv(4, (3,) * dimensions, strides=2, padding=1)
    both = jax.jit(lambda v: (ours.apply(v, x), theirs.apply(v, x)))(random_variables.variables(ours, x))
    np.testing.assert_allclose(*both, atol=1e-5)


def test_a_dimension_shorter_than_the_window_is_pooled_whole():
    assert max_pool(jnp.ones((1, 1, 5, 2))).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("shape", [(1, 4), (1, 1, 1, 4)])
def test_batch_norm_of_one_value_is_refused_and_evaluates_all_the_same(shape):
    x = np.ones(shape, np.float32)
    held = random_variables.variables(BatchNorm(), x, train=True)
    with pytest.raises(ValueError, match="has one value per channel, which it makes 0 whatever it is; give more"):
        BatchNorm().apply(held, x, train=True, mutable=["batch_stats"])
    assert np.all(np.isfinite(BatchNorm().apply(held, x, train=False)))
