"""Native convolutions: 200 drawn shapes against the definition, and always the same bits."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tiny
from fdl.core import data_axis, kernel_choice
from fdl.engine.population import Population
from fdl.engine.program import training
from fdl.models.kernels import convolution
from fdl.models.kernels.convolution import convolve
from fdl.models.kernels.native import call
from fdl.models.kernels.native.library import Library, compiler, library
from fdl.modes.train_population import subject_of
from fdl.parallel.executors import jit, mesh
from fdl.profiling import flops

ZEN_4 = kernel_choice.ZEN_4 | {"flags": "avx avx2 avx512f"}

pytestmark = pytest.mark.skipif(not compiler(), reason="no C++ compiler")


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    monkeypatch.setenv(kernel_choice.VARIABLE, "native")
    assert library().available, library().line


def drawn(seed: int):
    """Return the shapes, strides and padding of one convolution of one to three dimensions."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([1, 2, 2, 2, 3]))
    strides = tuple(rng.integers(1, 4, count).tolist())
    pads = tuple((int(low), int(high)) for low, high in rng.integers(0, 4, (count, 2)))
    side = rng.integers(1, 6, count)
    size = np.maximum(side - np.sum(pads, axis=1), rng.integers(1, 14 if count < 3 else 7, count))
    batch, channels, features = (int(rng.choice(n)) for n in ([1, 2, 9, 19], [1, 2, 3, 8, 16, 33], [1, 3, 16, 20, 48]))
    return (batch, *size.tolist(), channels), (*side.tolist(), channels, features), strides, pads


def by_definition(x, kernel, g, strides, pads):
    """Return values and gradients in float64, tap by tap: XLA:CPU ends the process on some of the drawn shapes."""
    x, kernel, g = (np.asarray(array, np.float64) for array in (x, kernel, g))
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    y, dpadded, dkernel = np.zeros(g.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    for tap in np.ndindex(kernel.shape[:-2]):
        seen = (
            slice(None),
            *(slice(k, k + (n - 1) * s + 1, s) for k, n, s in zip(tap, g.shape[1:-1], strides, strict=True)),
        )
        y += padded[seen] @ kernel[tap]
        dpadded[seen] += g @ kernel[tap].T
        dkernel[tap] = np.einsum("nc,nf->cf", padded[seen].reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1]))
    inside = tuple(slice(low, low + n) for (low, _), n in zip(pads, x.shape[1:-1], strict=True))
    return y, dpadded[(slice(None), *inside)], dkernel


def compare(seeds) -> None:
    """Compare values and both gradients of these convolutions, in one program."""
    shapes = [drawn(seed) for seed in seeds]
    rng = np.random.default_rng(0)
    arrays = [tuple(jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shape[:2]) for shape in shapes]

    @jax.jit
    def run(arrays):
        results = []
        for (x, kernel), (*_, strides, pads) in zip(arrays, shapes, strict=True):
            y = convolution._native_forward(x, kernel, (strides, pads, convolution._shape(x, kernel, strides, pads)))
            g = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
            dx = convolution._native_input_gradient(g, kernel, (strides, pads, x.shape))
            results.append((g, (y, dx, convolution._native_kernel_gradient(x, g, (strides, pads, kernel.shape)))))
        return results

    for seed, (x, kernel), (g, got) in zip(seeds, arrays, run(arrays), strict=True):
        wanted = by_definition(x, kernel, g, *drawn(seed)[2:])
        for name, here, want in zip(("y", "dx", "dkernel"), got, wanted, strict=True):
            limit = 1e-5 * np.abs(want).max()
            np.testing.assert_allclose(here, want, rtol=0, atol=limit, err_msg=f"{name} of {drawn(seed)}")


def test_drawn_shapes():
    compare(range(24))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_hundred_drawn_shapes(first):
    compare(range(1000 + first, 1000 + first + 20))


@pytest.mark.parametrize(("channels", "native_dx", "native_dkernel"), [(3, 0, 1), (8, 1, 1), (600, 1, 0)])
def test_a_gradient_that_jax_computes_faster_is_in_jax(channels, native_dx, native_dkernel):
    x, kernel = jnp.ones((1, 4, 4, channels)), jnp.ones((3, 3, channels, 100))
    jaxpr = jax.make_jaxpr(lambda *a: gradients(*a))(x, kernel).jaxpr
    called = [eqn.params["target_name"] for eqn, _ in flops.equations(jaxpr) if eqn.primitive.name == "ffi_call"]
    count = [called.count(name) for name in ("fdl_convolve_input_gradient", "fdl_convolve_kernel_gradient")]
    assert count == [native_dx, native_dkernel]


def large(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.standard_normal(s), jnp.float32) for s in [(64, 16, 16, 8), (3, 3, 8, 20)])


def gradients(x, kernel):
    return jax.value_and_grad(lambda x, k: jnp.sin(convolve(x, k, (1, 1), "SAME")).sum(), argnums=(0, 1))(x, kernel)


def test_the_bits_are_those_of_every_other_call():
    x, kernel = large()
    once = jax.jit(gradients)
    first = once(x, kernel)
    _, many = jax.jit(lambda: lax.scan(lambda c, _: (c, gradients(x, kernel)), 0, None, length=20))()
    for _ in range(20):
        jax.tree.map(np.testing.assert_array_equal, first, once(x, kernel))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.broadcast_to(a, b.shape), b), first, many)


def primitives(function, *args) -> set[str]:
    jaxpr = jax.make_jaxpr(lambda *args: function(*args))(*args)  # a new function: JAX keeps traces of old ones
    return {eqn.primitive.name for eqn, _ in flops.equations(jaxpr.jaxpr)}


def test_where_it_cannot_be_native_it_is_custom_and_says_why():
    x, kernel = large()
    half = (x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    grid = data_axis.Grid(jax.make_mesh((2,), ("data",), devices=jax.devices()[:2]), ("data",))
    with kernel_choice.noting() as notes:
        assert "ffi_call" in primitives(gradients, x, kernel)
        assert "ffi_call" not in primitives(gradients, *half)
        with data_axis.use_grid(grid):
            assert "ffi_call" not in primitives(gradients, x, kernel)
    line, *others = notes["convolution"]
    assert line.startswith("native: compiled by ")
    assert others == [
        "custom: bfloat16 is not float32",
        "custom: the compiler partitions the program over a mesh",
    ]
    with kernel_choice.reference_forms():
        assert "ffi_call" not in primitives(gradients, x, kernel)


def test_its_flops_are_counted_as_those_of_the_custom_form(monkeypatch):
    x, kernel = large()
    counted = flops.survey(lambda *a: gradients(*a), x, kernel)
    assert "ffi_call" in counted.primitives
    monkeypatch.setenv(kernel_choice.VARIABLE, "custom")
    custom = flops.survey(lambda *a: gradients(*a), x, kernel)
    assert "ffi_call" not in custom.primitives
    assert counted.flops == custom.flops


def test_a_second_derivative_is_that_of_the_reference(monkeypatch):
    x, kernel = large()
    x = x[:2, :5, :5]

    def penalty(kernel):
        return jnp.square(gradients(x, kernel)[1][0]).sum()

    found = jax.jit(jax.grad(penalty))(kernel)
    monkeypatch.setenv(kernel_choice.VARIABLE, "reference")
    wanted = jax.jit(lambda k: jax.grad(penalty)(k))(kernel)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_by_default_it_is_native_where_a_gradient_is_taken_and_the_work_pays(monkeypatch):
    monkeypatch.delenv(kernel_choice.VARIABLE)
    monkeypatch.setattr(kernel_choice, "processor", lambda: ZEN_4)
    small, large = ((jnp.zeros((2, side, side, 16)), jnp.zeros((5, 5, 16, 16))) for side in (8, 80))
    with kernel_choice.noting() as notes:
        assert "ffi_call" in primitives(gradients, *large)
        assert "ffi_call" not in primitives(gradients, *small)
        assert "ffi_call" not in primitives(lambda x, k: convolve(x, k, (1, 1), "SAME"), *large)
    assert [line.split(":")[0] for line in notes["convolution"]] == ["native", "custom"]
    zen_3 = ZEN_4 | {"flags": "avx2"}
    for other in ({"vendor_id": "another"}, zen_3, {}):
        monkeypatch.setattr(kernel_choice, "processor", lambda other=other: other)
        with kernel_choice.noting() as notes:
            assert "ffi_call" not in primitives(gradients, *large)
        (line,) = notes["convolution"]
        assert line.startswith("custom: native kernels were not measured on this processor")


@pytest.fixture
def uncompiled(monkeypatch):
    """Fail where the library is looked for, though it is what a default training step uses."""

    def build():
        raise AssertionError("a library is compiled that nothing calls")

    monkeypatch.delenv(kernel_choice.VARIABLE)
    monkeypatch.setattr(kernel_choice, "processor", lambda: ZEN_4)
    monkeypatch.setattr(call, "library", build)
    monkeypatch.setattr(call, "PAYS", 0)


def test_nothing_is_compiled_that_nothing_would_call(uncompiled):
    made = tiny.convolutional()
    with pytest.raises(AssertionError, match="nothing calls"):
        training(made, jit())
    assert "ffi_call" not in primitives(lambda x, k: convolve(x, k, (1, 1), "SAME"), *large())  # an evaluation
    assert not training(made, mesh(jax.devices()[:2])).native
    population = Population(make=lambda seed: replace(made, seed=seed), values={"seed": np.arange(2)})
    subject = subject_of(population, jit(), None)
    assert not subject.program.native
    state = population.abstract()
    source = made.dataset.load("train").flat()
    rows = jax.tree.map(lambda x: x[0], population.training_rows(0, 1))
    jax.eval_shape(population.training_step(source.take), state, rows, dict(population.values), source.arrays)


def test_videos_are_convolved_as_pictures_where_no_gradient_is_taken(uncompiled):
    x, kernel = jnp.ones((2, 4, 8, 8, 3)), jnp.ones((3, 3, 3, 3, 8))
    jaxpr = jax.make_jaxpr(lambda x, k: convolve(x, k, (1, 1, 1), "SAME"))(x, kernel).jaxpr
    ranks = {eqn.invars[0].aval.ndim for eqn, _ in flops.equations(jaxpr) if eqn.primitive.name.startswith("conv_")}
    assert ranks == {4}


@pytest.mark.parametrize("shapes", [((2, 9, 9, 3), (3, 3, 3, 8)), ((2, 4, 6, 6, 2), (3, 3, 3, 2, 4))])
def test_a_compiler_that_fails_leaves_the_custom_form_and_its_gradients(monkeypatch, shapes):
    monkeypatch.setattr(call, "library", lambda: Library(False, "it failed"))
    monkeypatch.setattr(call, "compiler", lambda: ("g++",))
    x, kernel = (jnp.asarray(np.random.default_rng(0).standard_normal(s), jnp.float32) for s in shapes)
    strides = (1,) * (kernel.ndim - 2)

    def both(x, kernel):
        return jax.value_and_grad(lambda x, k: jnp.sin(convolve(x, k, strides, "SAME")).sum(), (0, 1))(x, kernel)

    failed = jax.jit(both)(x, kernel)
    monkeypatch.setenv(kernel_choice.VARIABLE, "custom")
    tiny.close(failed, jax.jit(lambda *a: both(*a))(x, kernel), 1e-4)
