"""The bench: known work is counted, everything promised is said, and a profiler is refused."""

import json
import os
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

import tiny
from fdl.models.kernels.native import library as native
from fdl.modes import bench as module
from fdl.modes.bench import bench, peak
from fdl.profiling import flops, hardware, trace
from fdl.profiling.trace import listening
from fdl.runs.atomic_files import write_json


def test_known_work_is_counted_through_loops():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    assert flops.count(lambda a, b: a @ b, a, b) == 2 * 3 * 4 * 5
    assert flops.count(lambda a, b: lax.scan(lambda c, _: (c, (a @ b).sum()), 0, None, length=7), a, b) == 7 * 120
    image, kernel = jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 8))
    layout = ("NHWC", "HWIO", "NHWC")
    convolve = lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=layout)  # noqa: E731
    assert flops.count(convolve, image, kernel) == 2 * (2 * 6 * 6 * 8) * (3 * 3 * 3)


def test_a_bench_says_what_it_promises_and_compares_itself(tmp_path):
    said: list[str] = []
    out = tmp_path / "a.json"
    made = tiny.experiment(steps=10_000, executor="jit")
    first = bench(made, seconds=0.02, windows=2, log=said.append)
    write_json(out, first)
    assert json.loads(out.read_text())["steps_per_second"] == first["steps_per_second"] > 0
    assert first["recompiled"] == 0
    assert first["compile_seconds"] > 0
    assert first["parameters"] == 5 * 8 + 8 + 8 * 3 + 3
    assert first["flops_per_step"] == 8 * 2 * (5 * 8 + 8 * 3) + 8 * 2 * (5 * 8 + 2 * 8 * 3)  # no gradient of the inputs
    assert first["roof"] in first["floors_seconds"]
    assert first["memory_estimate_bytes"] > 0
    assert any("steps/s" in line for line in said)
    assert any(line.startswith("bound by") for line in said)
    second = bench(made, seconds=0.02, windows=2, baseline=out, log=said.append)
    assert "baseline" in second["against_baseline"]
    out.write_text("{}")
    with pytest.raises(ValueError, match="holds no steps/s to compare with"):
        bench(made, baseline=out)


class Stopwatch:
    """A clock that only steps move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Sleeper(nn.Module):
    """A dense layer whose every step takes a quarter of a second by the stopwatch."""

    stopwatch: Stopwatch

    @nn.compact
    def __call__(self, inputs, *, train=False):
        def sleep(x):
            self.stopwatch.now += 0.25
            return x

        x = nn.Dense(3)(inputs)
        return x + lax.stop_gradient(jax.pure_callback(sleep, jax.ShapeDtypeStruct((), x.dtype), inputs.sum()))


def test_the_bench_agrees_with_a_stopwatch_about_a_known_sleep_and_known_work(monkeypatch):
    stopwatch = Stopwatch()
    monkeypatch.setattr(module, "calibrate", lambda *_: {"flops": 1e4, "bytes": 1e9, "launch_seconds": 1e-6})
    made = tiny.experiment(model=Sleeper(stopwatch), steps=10_000, executor="jit", steps_per_call=2)
    seen = bench(made, seconds=3.0, windows=2, clock=stopwatch, log=lambda _: None)
    assert seen["steps_per_second"] == pytest.approx(4.0)
    assert (seen["lowest"], seen["highest"]) == (seen["steps_per_second"],) * 2
    assert seen["examples_per_second"] == pytest.approx(4.0 * 8)
    work = 8 * 2 * (5 * 3) * 2  # forward and the kernel's gradient
    assert seen["flops_per_second"] == pytest.approx(4.0 * work)
    assert seen["peak_fraction"] == pytest.approx(4.0 * work / 1e4)


def test_a_profile_names_operations_and_where_they_came_from(tmp_path):
    said: list[str] = []
    made = tiny.experiment(steps=10_000, executor="jit")
    seen = bench(made, seconds=0.01, windows=1, profile=tmp_path / "trace", log=said.append)
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))
    assert any("Dense_0" in one["from"] for one in seen["top_ops"])
    assert not any(one["op"].startswith("while") for one in seen["top_ops"])


def test_chips_are_known_by_what_their_devices_call_themselves():
    assert hardware.chip_of("NVIDIA A100-SXM4-40GB") == hardware.CHIPS["A100"]
    assert hardware.chip_of("TPU v5 lite") == hardware.CHIPS["TPU v5 lite"]
    assert hardware.chip_of("NVIDIA L40S") is None
    for kind, name in (
        ("TPU v5e", "TPU v5 lite"),
        ("TPU v5p", "TPU v5"),
        ("TPU v5", "TPU v5"),
        ("TPU v6e", "TPU v6 lite"),
        ("TPU v6 lite", "TPU v6 lite"),
        ("TPU v4", "TPU v4"),
        ("TPU v4 lite", "TPU v4 lite"),
        ("TPU7x", "TPU7x"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA H100 80GB HBM3", "H100"),
    ):
        assert hardware.chip_of(kind) is hardware.CHIPS[name], kind
    assert hardware.chip_of("cpu") is None
    assert hardware.floors(989e12, 0.0)["H100"] == (1.0, "compute")
    assert hardware.floors(0.0, 3.35e12)["H100"] == (1.0, "memory")


def test_compilation_inside_a_window_is_heard():
    with listening() as heard:
        jax.jit(lambda x: x * 3.25)(1.0)
    assert heard[trace.COMPILE]
    count = len(heard[trace.COMPILE])
    jax.jit(lambda x: x * 4.25)(1.0)
    assert len(heard[trace.COMPILE]) == count, "it goes on listening"


def test_a_profiler_is_refused():
    sys.setprofile(lambda *_: None)
    try:
        with pytest.raises(ValueError, match="profiler"):
            bench(tiny.experiment())
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("multiply_add", [8e9, 0.0])
def test_the_peak_is_printed_with_the_share_that_a_step_reaches(monkeypatch, multiply_add):
    monkeypatch.setattr(module, "calibrate", lambda *_: {"flops": 2e9, "bytes": 3e9, "launch_seconds": 4e-6})
    monkeypatch.setattr(module, "multiply_add_peak", lambda _: multiply_add)
    lines: list[str] = []
    found = peak(tiny.experiment(executor="jit"), seconds=0.02, windows=2, log=lines.append)
    text = "\n".join(lines)
    assert "2.0 GFLOP/s in a float32 matrix product" in text
    assert ("8.0 GFLOP/s in fused multiply-adds on all cores" in text) == bool(multiply_add)
    assert "3.0 GB/s" in text
    assert "4 us" in text
    assert f"{found['step'] / 2e9:.0%} of the product" in lines[-1]
    assert (f"{found['step'] / 8e9:.0%} of the multiply-adds" in lines[-1]) == bool(multiply_add)


@pytest.mark.skipif(not native.compiler(), reason="no C++ compiler")
def test_multiply_adds_are_counted_and_timed_on_every_core():
    ticks = iter(range(100))
    cores = len(os.sched_getaffinity(0))
    per_round = native.multiply_add(1000) / 1000
    assert per_round in (2 * 12 * 4, 2 * 12 * 8, 2 * 12 * 16)  # lanes of a vector
    assert hardware.multiply_add_peak(lambda: next(ticks), rounds=1000, tries=3) == cores * 1000 * per_round
