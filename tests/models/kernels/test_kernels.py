"""Every op: its own form gives the plain form's values and gradients, under every transformation of JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fdl.core import data_axis, kernel_choice
from fdl.models import CNN, RNN, Transformer
from fdl.models.kernels.convolution import convolve
from fdl.models.kernels.embedding import rows
from fdl.models.kernels.materialize import materialize
from fdl.models.kernels.pool import max_pool
from fdl.models.rnn import CELLS, scan_cell
from fdl.parallel import executors


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape), jnp.float32)


def run_lstm(x: jax.Array, kernel: jax.Array, *, masked: bool, reverse: bool) -> Any:
    batch, time, _ = x.shape
    start = (draw(batch, 3, seed=7).astype(x.dtype), draw(batch, 3, seed=8).astype(x.dtype))
    alive = jnp.arange(time)[None] < jnp.arange(1, batch + 1)[:, None] if masked else None
    alive = None if alive is None else alive.swapaxes(0, 1)
    carry, states = scan_cell(CELLS["lstm"][2], x.swapaxes(0, 1), kernel, None, start, alive, reverse=reverse)
    return states, carry


# name -> function of two arrays, the arrays: rows of the first are examples.
CASES: dict[str, tuple[Callable[..., Any], tuple[jax.Array, jax.Array]]] = {
    f"conv-{name}": (lambda x, k, s=strides, p=padding: convolve(x, k, s, p), (draw(*x), draw(*kernel)))
    for name, x, kernel, strides, padding in [
        ("same", (4, 6, 5, 3), (3, 3, 3, 2), (1, 1), "SAME"),
        ("strided", (4, 8, 7, 3), (3, 3, 3, 2), (2, 2), 1),
        ("uneven", (4, 9, 8, 2), (2, 3, 2, 3), (3, 2), "VALID"),
        ("one", (4, 7, 7, 3), (1, 1, 3, 4), (2, 2), 0),
        ("unseen", (4, 8, 8, 2), (2, 2, 2, 3), (3, 3), "VALID"),
        ("large", (4, 9, 9, 1), (7, 7, 1, 2), (2, 2), 3),
        ("sound", (4, 9, 2), (3, 2, 3), (2,), "SAME"),
        ("video", (4, 4, 5, 3, 2), (2, 3, 2, 2, 3), (1, 2, 1), "SAME"),
        ("video-strided", (4, 7, 5, 4, 2), (3, 3, 2, 2, 3), (2, 2, 1), 1),
        ("video-framewise", (4, 3, 5, 5, 2), (1, 3, 3, 2, 3), (2, 1, 1), "SAME"),
        ("video-short", (4, 2, 5, 5, 2), (3, 2, 2, 2, 3), (1, 1, 1), "VALID"),
    ]
}
CASES |= {
    "pool": (lambda x, w: max_pool(x * w, (2, 2), (2, 2)), (draw(4, 6, 4, 3), jnp.ones(()))),
    "pool-odd": (lambda x, w: max_pool(x * w, (2, 3), (2, 3)), (draw(4, 7, 8, 3), jnp.ones(()))),
    "pool-ties": (lambda x, w: max_pool(jax.nn.relu(x) * w, (2, 2), (2, 2)), (draw(4, 6, 6, 3), jnp.ones(()))),
    "pool-sound": (lambda x, w: max_pool(x * w, (2,), (2,)), (draw(4, 7, 3), jnp.ones(()))),
    "lstm": (lambda x, k: run_lstm(x, k, masked=False, reverse=False), (draw(4, 5, 12), draw(3, 12))),
    "lstm-masked": (lambda x, k: run_lstm(x, k, masked=True, reverse=False), (draw(4, 5, 12), draw(3, 12))),
    "lstm-reverse": (lambda x, k: run_lstm(x, k, masked=True, reverse=True), (draw(4, 5, 12), draw(3, 12))),
    "materialize": (lambda x, w: materialize(jnp.sin(materialize(x * w))), (draw(4, 6), jnp.ones(()))),
    "embedding": (lambda x, t: rows(t, jnp.int32(x * 0 + jnp.arange(6)[None] % 3)), (draw(4, 6), draw(3, 5))),
}
FORMS = [(name, "custom") for name in CASES] + [(name, "native") for name in CASES if name.startswith("conv-")]
cases = pytest.mark.parametrize(("name", "form"), FORMS)


def gradients(function: Callable[..., Any], *args: jax.Array) -> Any:
    """Return the values and the gradients of a fixed random combination of them."""

    def total(*args: jax.Array) -> Any:
        out = function(*args)
        parts = [(leaf * draw(*leaf.shape, seed=3).astype(leaf.dtype)).sum() for leaf in jax.tree.leaves(out)]
        return jnp.stack(parts).sum().astype(jnp.float32), out

    return jax.grad(total, argnums=(0, 1), has_aux=True)(*args)


def both(monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any], form: str) -> tuple[Any, Any]:
    monkeypatch.setenv("FDL_KERNELS", form)
    own = run()
    monkeypatch.setenv("FDL_KERNELS", "reference")
    return own, run()


def assert_close(pair: tuple[Any, Any], tolerance: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), *pair)


@cases
def test_values_and_gradients_equal_the_plain_form(name, form, monkeypatch):
    function, args = CASES[name]
    assert_close(both(monkeypatch, lambda: jax.jit(lambda *a: gradients(function, *a))(*args), form))


@cases
def test_own_forms_survive_vmap_scan_and_remat(name, form, monkeypatch):
    function, (x, w) = CASES[name]
    several = jnp.stack([x, x[::-1], 2 * x])

    def run() -> Any:
        mapped = jax.vmap(lambda x: gradients(jax.checkpoint(function), x, w))(several)
        _, scanned = lax.scan(lambda _, x: (None, gradients(function, x, w)), None, several)
        return mapped, scanned

    own, plain = both(monkeypatch, lambda: jax.jit(run)(), form)
    assert_close((own, plain))
    assert_close(own, 1e-4)  # a program for three is not added up in the order of a program for one


@cases
def test_own_forms_survive_bfloat16(name, form, monkeypatch):
    function, args = CASES[name]
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), args)
    own, plain = both(monkeypatch, lambda: jax.jit(lambda *a: gradients(function, *a))(*half), form)
    assert jax.tree.map(lambda a: a.dtype, own) == jax.tree.map(lambda a: a.dtype, plain)
    to_float = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float32), tree)  # noqa: E731
    assert_close((to_float(own), to_float(plain)), 0.1)


MODELS = [
    (CNN(3, channels=(4, 4), hidden=(8,)), draw(8, 8, 8, 1)),
    (Transformer(3, width=8, heads=2, depth=2), draw(8, 4, 3)),
    (RNN(3, vocabulary=4, width=4, return_sequences=True), jnp.arange(40).reshape(8, 5) % 4),
]


@pytest.mark.parametrize("executor", ["jit", "pmap", "mesh"])
@pytest.mark.parametrize(("number", "form"), [*((number, "custom") for number in range(len(MODELS))), (0, "native")])
def test_executors_agree_on_models_of_own_forms(number, form, executor, monkeypatch):
    model, inputs = MODELS[number]
    monkeypatch.setenv("FDL_KERNELS", "reference")
    variables = jax.jit(model.init)(jax.random.key(0), inputs)

    def step(params: Any, chunk: jax.Array) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            return jnp.square(model.apply(params, chunk[0])).sum()

        return data_axis.add(jax.grad(loss)(params)), {}

    place = executors.EXECUTORS[executor](jax.devices()[:2])

    def run(place: executors.Executor) -> Any:
        state, chunk = place.put_state(jax.tree.map(jnp.copy, variables)), place.put_chunk(inputs[None])
        return jax.device_get(place.compile(step, state, chunk)(state, chunk)[0])

    plain = run(executors.jit(jax.devices()[:1]))
    monkeypatch.setenv("FDL_KERNELS", form)
    assert_close((run(place), plain), 1e-5)


def test_forms_are_forced_by_name(monkeypatch):
    usual = kernel_choice.kernel_forms()
    assert {op for op, form in usual.items() if form == "reference"} == {
        op for op, platforms in kernel_choice.CUSTOM.items() if "cpu" not in platforms
    }
    monkeypatch.setenv("FDL_KERNELS", "lstm=reference,max_pool=custom")
    assert kernel_choice.kernel_forms() == usual | {"lstm": "reference"}


@pytest.mark.parametrize("text", ["lstm", "ltsm=custom", "lstm=fast", "max_pool=native"])
def test_a_wrong_form_is_named(text):
    with pytest.raises(ValueError, match=f"--kernels={text}"):
        kernel_choice.parse(text)


def test_a_lost_maximum_is_not_hidden():
    x = jnp.full((1, 2, 2, 1), jnp.nan)
    assert jnp.isnan(max_pool(x, (2, 2), (2, 2))).all()
