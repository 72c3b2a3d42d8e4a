"""The native LSTM: values and gradients of the custom form, and always the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from fdl.core import kernel_choice
from fdl.models.kernels import lstm
from fdl.models.kernels.native import call
from fdl.models.kernels.native.library import compiler
from fdl.profiling import flops

pytestmark = pytest.mark.skipif(not compiler(), reason="no C++ compiler")
SHAPES = [(1, 1, 16), (2, 3, 16), (5, 15, 48), (7, 33, 32), (3, 28, 80)]  # time, batch, width


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    monkeypatch.setenv(kernel_choice.VARIABLE, "native")


def drawn(time: int, batch: int, width: int, scale: float = 1.0) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(time)
    shapes = (time, batch, 4 * width), (width, 4 * width), (batch, width), (batch, width), (time, batch, width)
    return tuple(jnp.asarray(scale * rng.standard_normal(shape) / shape[0] ** 0.5, jnp.float32) for shape in shapes)


def loss(projections, kernel, state, cell, weights, reverse=False):
    (last_state, last_cell), states = lstm.scan_lstm(projections, kernel, (state, cell), None, reverse)
    return (states * weights).sum() + jnp.sin(last_state).sum() + jnp.cos(last_cell).sum()


def both(monkeypatch, function, *arrays):
    """Return what the native and the custom form give, each traced anew."""
    found = []
    for form in ("native", "custom"):
        monkeypatch.setenv(kernel_choice.VARIABLE, form)
        found.append(jax.jit(lambda *arrays: function(*arrays))(*arrays))
    return found


def close(left, right, share=1e-5):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=share * max(1e-3, np.abs(b).max()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_all_gradients_are_those_of_the_custom_form(monkeypatch, shape, reverse):
    arrays = drawn(*shape)

    def all_of(*arrays):
        values = lstm.scan_lstm(arrays[0], arrays[1], (arrays[2], arrays[3]), None, reverse)
        return values, jax.grad(loss, argnums=(0, 1, 2, 3))(*arrays, reverse)

    native, custom = both(monkeypatch, all_of, *arrays)
    close(native, custom)


def test_large_preactivations_neither_overflow_nor_lose_their_sign(monkeypatch):
    native, custom = both(monkeypatch, jax.value_and_grad(loss, (0, 1)), *drawn(4, 5, 16, scale=300.0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(native))
    close(native, custom, 1e-4)


def test_the_bits_are_those_of_every_other_call():
    arrays = drawn(20, 32, 64)
    once = jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))
    first = once(*arrays)
    for _ in range(20):
        tiny.same(first, once(*arrays))


def test_it_is_called_where_a_gradient_is_taken_and_can_be(monkeypatch):
    def called(function, *arrays):
        jaxpr = jax.make_jaxpr(lambda *arrays: function(*arrays))(*arrays).jaxpr
        return [eqn.params["target_name"] for eqn, _ in flops.equations(jaxpr) if eqn.primitive.name == "ffi_call"]

    arrays = drawn(6, 8, 32)
    assert called(jax.grad(loss), *arrays) == ["fdl_lstm", "fdl_lstm_gradient"]
    assert called(loss, *arrays) == ["fdl_lstm"]
    counts = [flops.count(lambda *arrays: jax.grad(loss)(*arrays), *arrays)]
    assert called(jax.grad(loss), *drawn(6, 8, 24)) == []  # no multiple of a vector
    assert called(jax.grad(loss), *(array.astype(jnp.bfloat16) for array in arrays)) == []
    monkeypatch.delenv(kernel_choice.VARIABLE)
    monkeypatch.setattr(kernel_choice, "processor", lambda: kernel_choice.EMERALD_RAPIDS)
    assert called(jax.grad(loss), *arrays) == []  # too small to pay
    monkeypatch.setattr(call, "PAYS", 0)
    assert called(jax.grad(loss), *arrays) == ["fdl_lstm", "fdl_lstm_gradient"]
    assert called(loss, *arrays) == []
    monkeypatch.setattr(kernel_choice, "processor", lambda: kernel_choice.ZEN_4)  # where it was not measured
    assert called(jax.grad(loss), *arrays) == []
    counts.append(flops.count(lambda *arrays: jax.grad(loss)(*arrays), *arrays))
    assert counts[0] == counts[1]


def test_under_vmap_it_is_the_custom_form(monkeypatch):
    arrays = [jnp.stack([array, 2 * array]) for array in drawn(4, 3, 16)]
    native, custom = both(monkeypatch, jax.vmap(jax.grad(loss, (0, 1))), *arrays)
    close(native, custom)
