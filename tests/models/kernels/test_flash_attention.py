"""Fused attention equals the reference form, and is taken where it fits."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from fdl.core import data_axis, kernel_choice
from fdl.models.attention import attend
from fdl.models.kernels import flash_attention

SHAPES = [  # T, S, K, causal, lengths
    (256, 256, 64, True, None),
    (197, 197, 64, False, None),
    (200, 200, 32, True, [200, 1, 100, 0]),
    (128, 256, 64, False, [256, 3, 130, 0]),
]
HAS_GPU = jax.default_backend() == "gpu"


def drawn(time, keys, width, dtype=jnp.float32):
    draws = jax.random.split(jax.random.key(0), 4)
    sizes = (time, keys, keys, time)
    return [jax.random.normal(key, (4, n, 2, width), dtype) for key, n in zip(draws, sizes, strict=True)]


def values_and_gradients(form, causal, lengths, q, k, v, g):
    lengths = None if lengths is None else jnp.array(lengths)

    def run(q, k, v):
        y, backward = jax.vjp(partial(form, causal=causal, lengths=lengths), q, k, v)
        return y, *backward(g)

    return jax.jit(run)(q, k, v)


def at_least_one(form, **more):
    """What `attend` sees to before it calls a kernel."""

    def called(q, k, v, *, causal, lengths):
        return form(q, k, v, causal=causal, lengths=None if lengths is None else jnp.maximum(lengths, 1), **more)

    return called


splash = at_least_one(flash_attention.splash, interpret=True)


def close(left, right, tolerance):
    for a, b in zip(left, right, strict=True):
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


@pytest.mark.parametrize(("time", "keys", "width", "causal", "lengths"), SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)])
def test_the_tpus_kernel_is_the_plain_form(time, keys, width, causal, lengths, dtype, tolerance):
    arrays = drawn(time, keys, width, dtype)
    close(
        values_and_gradients(splash, causal, lengths, *arrays),
        values_and_gradients(attend, causal, lengths, *arrays),
        tolerance,
    )


@pytest.mark.parametrize("axes", [("data", "model"), ("data", "fsdp")])
def test_each_device_calls_the_kernel_on_its_own_rows_and_heads(axes):
    time, keys, width, causal, lengths = SHAPES[2]
    arrays = drawn(time, keys, width)
    alone = values_and_gradients(splash, causal, lengths, *arrays)
    mesh = jax.make_mesh((2, 2), axes, devices=jax.devices()[:4], axis_types=(AxisType.Auto,) * 2)
    model = "model" if "model" in axes else None
    rows = tuple(axis for axis in axes if axis != "model")
    with data_axis.use_grid(data_axis.Grid(mesh, rows, model)):
        close(values_and_gradients(splash, causal, lengths, *arrays), alone, 1e-6)


def form_for(device, query, key, decoding=False):
    with kernel_choice.compiling_for(SimpleNamespace(**device)):
        return flash_attention.choose(query, key, decoding=decoding)[0]


def test_the_form_is_chosen_by_target_shape_and_dtype():
    def array(time, width=64, dtype=jnp.bfloat16):
        return jax.ShapeDtypeStruct((2, time, 4, width), dtype)

    cpu, tpu = {"platform": "cpu"}, {"platform": "tpu"}
    h100, t4 = ({"platform": "gpu", "compute_capability": x} for x in ("9.0", "7.5"))
    long, short = array(1024), array(64)
    assert form_for(cpu, long, long) == "reference"
    assert form_for(tpu, long, long) == form_for(tpu, array(1024, dtype=jnp.float32), long) == "splash"
    assert form_for(tpu, short, long) == form_for(tpu, long, long, decoding=True) == "reference"
    assert form_for(h100, long, long) == form_for(h100, array(197), array(197)) == "cudnn"
    for query in (array(1024, dtype=jnp.float32), array(1024, 12), array(1024, 256), short):
        assert form_for(h100, query, short if query is short else long) == "reference"
    assert form_for(h100, array(1), long, decoding=True) == form_for(t4, long, long) == "reference"


def test_the_plain_form_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("FDL_KERNELS", "attention=reference")
    query = jax.ShapeDtypeStruct((2, 1024, 4, 64), jnp.bfloat16)
    assert form_for({"platform": "tpu"}, query, query) == "reference"
    monkeypatch.setenv("FDL_KERNELS", "custom")  # where there is none, there is none
    assert form_for({"platform": "cpu"}, query, query) == "reference"


@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(("time", "keys", "width", "causal", "lengths"), SHAPES)
def test_cudnns_kernel_is_the_plain_form(time, keys, width, causal, lengths, monkeypatch):
    arrays = drawn(time, keys, width, jnp.bfloat16)
    cudnn = at_least_one(flash_attention.cudnn)
    fused = values_and_gradients(cudnn, causal, lengths, *arrays)
    monkeypatch.setenv("FDL_KERNELS", "attention=reference")
    close(fused, values_and_gradients(attend, causal, lengths, *arrays), 2e-2)
