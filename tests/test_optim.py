import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fdl import optim


def test_warmup_cosine_rises_and_falls_over_the_run() -> None:
    rate = optim.warmup_cosine(0.5, 100, warmup=0.1, end=0.2)
    values = np.array([rate(t) for t in range(101)])
    assert values[0] == pytest.approx(0.05)
    assert values[10] == pytest.approx(0.5)
    assert np.all(np.diff(values[:11]) > 0)
    assert np.all(np.diff(values[10:]) < 0)
    assert values[100] == pytest.approx(0.1)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_warmup_cosine_fits_the_shortest_runs(steps: int) -> None:
    for warmup in (0.0, 0.5, 1.0):
        assert optim.warmup_cosine(1.0, steps, warmup=warmup)(0) > 0


def params() -> dict:
    return {
        "Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "attention": {"bias": jnp.ones((2, 2)), "kernel": jnp.ones((2, 2, 2))},
        "norm": {"scale": jnp.ones(3)},
    }


def test_only_kernels_decay() -> None:
    assert optim.decay_mask(params()) == {
        "Dense_0": {"kernel": True, "bias": False},
        "attention": {"bias": False, "kernel": True},
        "norm": {"scale": False},
    }


@pytest.mark.parametrize("make", [optim.adamw, optim.muon, optim.sgd])
def test_without_a_gradient_only_kernels_shrink(make) -> None:
    optimizer = make(0.1, weight_decay=0.5)
    zeros = jax.tree.map(jnp.zeros_like, params())
    updates, _ = optimizer.update(zeros, optimizer.init(params()), params())
    moved = jax.tree.map(lambda u: bool(np.any(u != 0)), updates)
    assert moved == optim.decay_mask(params())


def test_muon_turns_matrices_and_leaves_the_rest_to_adam() -> None:
    def drawn(*shape):
        return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    tree = {
        "Dense_0": {"kernel": drawn(8, 6), "bias": drawn(6)},
        "query": {"kernel": drawn(6, 3, 2)},
        "out": {"kernel": drawn(3, 2, 6)},
        "embed": {"embedding": drawn(6, 6)},
    }
    moved, adam = {}, optax.adamw(0.1, b2=0.99, weight_decay=0, nesterov=True)
    for name, optimizer in (("muon", optim.muon(0.1, clip=None)), ("adam", adam)):
        moved[name], _ = optimizer.update(tree, optimizer.init(tree), tree)
    for layer, rows in (("Dense_0", 8), ("query", 6), ("out", 6)):
        kernel = np.reshape(moved["muon"][layer]["kernel"], (rows, 6))
        length = 0.1 * 0.2 * rows**0.5  # of what is turned; five rounds come near it
        np.testing.assert_allclose(np.linalg.svd(kernel / length, compute_uv=False), 1, atol=0.35)
    for layer, part in (("Dense_0", "bias"), ("embed", "embedding")):
        np.testing.assert_allclose(moved["muon"][layer][part], moved["adam"][layer][part], rtol=1e-5)


def test_clip_bounds_the_global_norm() -> None:
    optimizer = optim.sgd(1.0, momentum=0.0, clip=1.0)
    steep = jax.tree.map(lambda x: 100 * x, params())
    updates, _ = optimizer.update(steep, optimizer.init(params()), params())
    assert sum(float(jnp.sum(u**2)) for u in jax.tree.leaves(updates)) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("make", [optim.adamw, optim.sgd])
def test_hyper_parameters_can_be_injected_and_mapped(make) -> None:
    def shrunk(rate, decay):
        optimizer = optax.inject_hyperparams(make)(learning_rate=rate, weight_decay=decay)
        updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params()), optimizer.init(params()), params())
        return optax.apply_updates(params(), updates)

    rates, decays = jnp.array([0.1, 0.2]), jnp.array([0.0, 0.3])
    both = jax.jit(jax.vmap(shrunk))(rates, decays)
    for i in range(2):
        alone = shrunk(float(rates[i]), float(decays[i]))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), both, alone)


@pytest.mark.parametrize("wrong", [{"learning_rate": -0.1}, {"weight_decay": -1e-4}, {"clip": -1}])
def test_what_would_climb_the_loss_is_refused_by_name(wrong: dict[str, float]) -> None:
    (name,) = wrong
    for make in (optim.adamw, optim.muon, optim.sgd):
        with pytest.raises(ValueError, match=f"{name} -.* is below 0"):
            make(**{"learning_rate": 0.1, **wrong})
    with pytest.raises(ValueError, match="learning_rate -1 is below 0"):
        optim.warmup_cosine(-1, 10)
