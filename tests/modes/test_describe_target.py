"""An experiment is compiled for described devices; here a CPU's stand in for those of a chip that is not here."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import tiny
from fdl import pages
from fdl.cli import chip_subprocess
from fdl.cli.flags import add_knobs, general_flags
from fdl.core.errors import Fault
from fdl.engine import ahead_of_time
from fdl.modes import describe_target
from fdl.parallel import targets
from fdl.profiling import hlo

GIB = 2**30


@pytest.fixture
def two_chips(monkeypatch):
    monkeypatch.setattr(targets, "devices", lambda name: jax.devices()[:2])
    return monkeypatch


def test_it_says_whether_it_fits_and_the_largest_batch(two_chips):
    lines: list[str] = []
    found = describe_target.describe_target(tiny.experiment(), "tpu-v5e-4", log=lines.append)
    assert found["fits"]
    assert found["devices"] == 2
    assert found["total"] > found["temporaries"] > 0
    assert found["aliased"] > 0  # the state is donated
    assert 8 <= found["largest_batch"] <= 40
    assert [line.split()[0] for line in lines[:3]] == ["target", "batch", "memory"]


def test_what_does_not_fit_is_told_with_flags_that_exist(two_chips):
    two_chips.setitem(targets.TARGETS, "tiny", targets.Target("tpu", "none", 3_000))
    lines: list[str] = []
    found = describe_target.describe_target(tiny.experiment(), "tiny", log=lines.append)
    assert not found["fits"]
    assert "does not fit" in lines[1]
    flags = general_flags()
    add_knobs(flags, pages.read("digits_mlp"))
    words = lines[-1].replace("=", " ").replace(",", " ").split()
    assert all(word[2:] in flags for word in words if word.startswith("--"))


def test_what_a_compiler_cannot_fit_is_halved(two_chips):
    real = ahead_of_time.Lowered.compile

    def compile_small(self):
        if self.program.in_avals[0][1].indices.shape[1] > 4:
            raise RuntimeError("RESOURCE_EXHAUSTED: Ran out of memory. Used 17.17G of 15.75G hbm.")
        return real(self)

    two_chips.setattr(ahead_of_time.Lowered, "compile", compile_small)
    lines: list[str] = []
    found = describe_target.describe_target(tiny.experiment(feed="resident"), "tpu-v5e-4", log=lines.append)
    assert not found["fits"]
    assert "8 does not fit: out of memory: 17.17 GiB used of 15.75 GiB" in lines[1]
    assert any("4 fits" in line for line in lines)


def test_the_program_is_the_one_that_training_runs():
    made = tiny.experiment(dataset=tiny.dataset(shape=(4, 4, 3)))
    lowered = ahead_of_time.lower(made, jax.devices()[:1], GIB)
    assert (lowered.feed, lowered.resident) == ("resident", [(40, 48), (40,)])
    assert ahead_of_time.lower(made, jax.devices()[:1], GIB).digest == lowered.digest
    assert ahead_of_time.lower(made, jax.devices()[:1], 1).feed == "streamed"
    assert ahead_of_time.lower(replace(made, batch_size=4), jax.devices()[:1], GIB).digest != lowered.digest
    footprint, text = lowered.compile()
    assert footprint.aliased >= lowered.state_bytes
    assert not hlo.copies(hlo.operations(text), (40, 4, 4, 3))
    _, evaluated = ahead_of_time.lower(made, jax.devices()[:1], GIB, evaluation=True).compile()
    assert hlo.products(hlo.operations(evaluated))


def test_a_compiler_that_dies_is_a_fault_in_one_line(monkeypatch):
    monkeypatch.setattr(chip_subprocess.sys, "orig_argv", ["python", "-c", "import os; os.kill(os.getpid(), 11)"])
    with pytest.raises(Fault, match="the compiler for h100 ended with signal 11"):
        chip_subprocess.in_subprocess("h100")
    monkeypatch.setenv(chip_subprocess.TARGET, "h100")
    assert chip_subprocess.in_subprocess("h100") is None


def test_a_compiler_that_is_not_installed_is_named():
    if jax.default_backend() == "cpu":
        with pytest.raises(ValueError, match=r"--chip=tpu-v5e-1 needs the compiler of that chip.*extra tpu"):
            targets.devices("tpu-v5e-1")


def test_the_figures_of_targets_are_whole():
    for name, target in targets.TARGETS.items():
        assert target.memory > 10 * GIB, name
        assert (target.platform == "cuda") == ("cuda_compute_capability" in target.gpu), name
        assert targets.environment(name)["JAX_PLATFORMS"] == "cpu"


def test_hlo_is_read(tmp_path):
    text = """
%fused_computation.1 (p: f32[8,4]) -> f32[8,4] {
  ROOT %copy.9 = f32[8,4]{0,1} copy(f32[8,4] %p)
}
ENTRY %main (a: u8[9,2,2,3]) -> f32[8,4] {
  %copy.3 = u8[9,2,2,3]{2,1,3,0:T(8,128)} copy(%a), metadata={op_name="jit(fused)/gather"}, backend_config={"estimated_cycles":"70"}
  %all-reduce.1 = (f32[4]{0}, f32[2,3]{1,0}) all-reduce(%x, %y), replica_groups={}
  %dot.1 = bf16[14,32]{1,0} dot(%x, %y), metadata={op_name="jit(fused)/a/b/c"}
  %k = f32[2] custom-call(%x), custom_call_target="tpu_custom_call"
  ROOT %fusion.1 = f32[8,4]{1,0} fusion(%x), kind=kLoop, calls=%fused_computation.1
}"""  # noqa: E501
    found = hlo.operations(text)
    assert [one.name for one in hlo.copies(found, (9, 2, 2, 3))] == ["copy.3"]
    assert hlo.collectives(found) == {"all-reduce": (1, 40)}
    assert [hlo.shape_of(one) for one in hlo.products(found)] == ["bf16[14,32] dot (b/c)"]
    assert hlo.custom_calls(text) == {"tpu_custom_call"}
    assert sum(one.cycles for one in found) == 70
    assert [one.name for one in found if one.fused] == ["copy.9"]
    assert hlo.largest(found, 1)[0].name == "dot.1"
    assert np.prod(hlo.arrays("f32[]")[0][1]) == 1
    wide = (
        "ENTRY %m (p: s32[3]) -> s64[3] {\n  %a = s64[3]{0} iota()\n  %b = f64[] constant(1)\n  %c = s32[3] iota()\n}"
    )
    assert hlo.wide_numbers(hlo.operations(wide)) == 1
