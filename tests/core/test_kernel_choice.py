"""Kernels are chosen for what is compiled for, not for what this process runs on."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from fdl.core import kernel_choice
from fdl.parallel.executors import jit


def device(platform: str, **more) -> SimpleNamespace:
    return SimpleNamespace(platform=platform, **more)


def test_the_target_decides_and_not_the_process():
    assert kernel_choice.target().platform == "cpu"
    with kernel_choice.compiling_for(device("tpu")):
        assert kernel_choice.target().platform == "tpu"
        assert kernel_choice.kernel_forms()["convolution"] == "reference"
        assert (
            kernel_choice.kernel_forms()["lstm"] == "custom"
        )  # on an H200 10.8 ms where cuDNN takes 13.5 and a plain scan 17.7
    with kernel_choice.compiling_for(device("gpu", compute_capability="7.5")):
        assert kernel_choice.target().capability == 7.5
    with kernel_choice.compiling_for(device("gpu", compute_capability="gfx90a")):
        assert kernel_choice.target().capability == 0
    assert kernel_choice.kernel_forms()["max_pool"] == "custom"


@pytest.mark.parametrize(
    ("seen", "forms"),
    [
        (("AuthenticAMD", "25", "97", "avx2 avx512f"), ("native", "custom")),  # Zen 4
        (("AuthenticAMD", "25", "33", "avx2"), ("custom", "custom")),  # Zen 3
        (("GenuineIntel", "6", "207", "avx2 avx512f"), ("native", "native")),
        (("GenuineIntel", "6", "106", "avx2 avx512f"), ("custom", "custom")),
    ],
)
def test_a_native_form_is_the_default_where_it_was_measured(monkeypatch, seen, forms):
    names = ("vendor_id", "cpu family", "model", "flags")
    monkeypatch.setattr(kernel_choice, "processor", lambda: dict(zip(names, seen, strict=True)))
    found = kernel_choice.kernel_forms()
    assert (found["convolution"], found["lstm"]) == forms
    with kernel_choice.compiling_for(device("gpu")):
        assert kernel_choice.kernel_forms()["convolution"] == "reference"


def test_one_step_is_traced_anew_for_every_target():
    seen = []

    def step(state, chunk):
        seen.append(kernel_choice.target().platform)
        return state + chunk, chunk

    made, one = jit(), jnp.ones(())
    made.lower(step, one, one)
    made.lower(step, one, one)
    assert seen == ["cpu", "cpu"]


def test_what_ops_choose_by_shape_is_collected_once():
    kernel_choice.note("attention", "heard by nobody")
    with kernel_choice.noting() as notes:
        for line in ("a", "b", "a"):
            kernel_choice.note("attention", line)
    assert notes == {"attention": ["a", "b"]}


def test_shapes_are_lowered_as_arrays_are():
    made = jit(jax.devices()[:1])
    state, chunk, table = jnp.zeros((3,)), jnp.zeros((2, 4)), jnp.zeros((5,))

    def step(state, chunk, table):
        return state + table.sum(), chunk

    compiled = made.lower(step, *made.shapes(state, chunk, table)).compile()
    after, same = compiled(state, chunk, table)
    assert after.shape == state.shape
    assert jnp.array_equal(same, chunk)
