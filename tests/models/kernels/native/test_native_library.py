"""The native library is optional: whatever is wrong with compiler, disk or cache, a run goes on in JAX and says why."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fdl
import tiny
from fdl.core import kernel_choice
from fdl.models.kernels.native import library as native
from fdl.runs.checkpoints.manager import Checkpoints


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a script that stands for a compiler and writes "built", and the folder that it builds into."""
    script, folder = tmp_path / "c++", tmp_path / "cache"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo fake 1.0 && exit\nfor out; do :; done\necho built > "$out"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("FDL_CACHE", str(folder))
    return script, folder / "native"


def file() -> Path:
    return native._file(native.compiler())


def test_everything_that_a_library_depends_on_is_in_its_name(fake, monkeypatch):
    names = {file()}
    monkeypatch.setattr(native, "_processor", lambda: "another")
    names.add(file())
    monkeypatch.setattr(native, "version", lambda package: "0.0.0")
    names.add(file())
    monkeypatch.setattr(native, "_version", lambda words: "another 2.0")
    names.add(file())
    monkeypatch.setattr(native, "SOURCES", native.SOURCES[:1])
    names.add(file())
    assert len(names) == 5


def test_a_build_is_whole_or_absent_and_damage_is_seen(fake):
    script, folder = fake
    native.build(native.compiler(), file())
    assert native._intact(file())
    assert [path.name for path in folder.iterdir()] == [file().name]
    file().write_bytes(file().read_bytes()[:-1])  # cut short, as by a disk that lost its power
    assert not native._intact(file())
    file().unlink()
    script.write_text(
        '#!/bin/sh\nfor out; do :; done\necho half > "$out"\necho "error: No space left on device" >&2\nexit 1\n'
    )
    with pytest.raises(RuntimeError, match="No space left on device"):
        native.build(native.compiler(), file())
    assert not list(folder.iterdir())
    left = folder / "killed.part"
    left.write_text("of a build that was killed")
    os.utime(left, (0, 0))
    with pytest.raises(RuntimeError):
        native.build(native.compiler(), file())
    assert not left.exists()


def test_concurrent_builds_end_with_one_library(fake):
    _, folder = fake
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: native.build(native.compiler(), file()), range(8)))
    assert [path.name for path in folder.iterdir()] == [file().name]
    assert native._intact(file())


@pytest.fixture
def fresh():
    """Let the library be looked for again, now and after the test."""
    native.library.cache_clear()
    native.warn_once.cache_clear()
    yield
    native.library.cache_clear()


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [("CXX", "/nonexistent/g++", "no C++ compiler"), ("FDL_CACHE", __file__, "Not a directory")],
)
def test_without_it_a_run_is_custom_and_says_why(fake, fresh, tmp_path, monkeypatch, capsys, variable, value, why):
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv(kernel_choice.VARIABLE, "native")
    made = tiny.convolutional(steps=2, executor="jit")
    described = fdl.describe(made, log=None)
    assert why in described["kernel_notes"]["convolution"][0]
    assert described["kernel_notes"]["convolution"][0].startswith("custom: ")
    assert capsys.readouterr().err.count("warning: native kernels are not used") == 1


@pytest.mark.skipif(not native.compiler(), reason="no C++ compiler")
def test_a_resume_without_the_native_form_says_that_bits_change(tmp_path, monkeypatch):
    made = tiny.convolutional(steps=4, save_every=2, executor="jit")
    monkeypatch.setenv(kernel_choice.VARIABLE, "native")
    write = Checkpoints.save

    def write_and_stop(self, *args):
        write(self, *args)
        self.wait()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            fdl.train(made, tmp_path, log=None)
    monkeypatch.setenv(kernel_choice.VARIABLE, "custom")
    said: list[str] = []
    fdl.train(made, tmp_path, log=said.append)
    (line,) = [line for line in said if "not bitwise" in line]
    assert "native kernels was compiled by" in line
    assert line.endswith("and is absent")


DRIVER = Path(__file__).with_name("driver.cc")


@pytest.mark.slow
@pytest.mark.skipif(not native.compiler(), reason="no C++ compiler")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_no_sanitizer_finds_anything(tmp_path, sanitizer):
    program = tmp_path / "driver"
    flags = ["-std=c++17", "-O1", "-g", "-march=native", "-ffp-contract=fast", "-pthread", f"-fsanitize={sanitizer}"]
    built = subprocess.run(
        [*native.compiler(), *flags, f"-I{native.SOURCES[0].parent}", str(DRIVER), "-o", str(program)],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, timeout=900)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["wrong"] == 0


@pytest.mark.slow
@pytest.mark.skipif(not native.compiler(), reason="no C++ compiler")
def test_a_hundred_thousand_calls_beside_others_do_not_hang():
    code = """
import threading, jax, jax.numpy as jnp
from fdl.models.kernels.convolution import convolve
x, kernel = jnp.ones((16, 8, 8, 4)), jnp.ones((3, 3, 4, 20)) / 36
@jax.jit
def many(x):
    def step(x, _):
        y = convolve(x, kernel, (1, 1), "SAME")
        return convolve(y, kernel.swapaxes(2, 3), (1, 1), "SAME") / 20, None
    return jax.lax.scan(step, x, None, length=500)[0].sum()
first = float(many(x))
def work():
    for _ in range(25):
        assert float(many(x)) == first
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print("done", 4 * 25 * 500 * 2)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=900,
        env={**os.environ, "FDL_KERNELS": "native", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.stdout.split() == ["done", "100000"], done.stderr
