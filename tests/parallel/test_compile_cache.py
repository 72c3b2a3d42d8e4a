import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from fdl.parallel import compile_cache
compile_cache.configure()
import jax
compile_cache.repair_on_read()
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
print(jax.jit(lambda x: x * 2 + 1)(3))
"""


def compile_in(folder: Path, **environment: str) -> tuple[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_PERS", "JAX_COMP", "XLA"))}
    kept |= {"FDL_CACHE": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=kept | environment,
        timeout=90,
    )
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    return done.stdout, done.stderr


def test_a_damaged_entry_is_one_line_and_written_again(tmp_path):
    assert compile_in(tmp_path)[1] == ""
    entries = sorted((tmp_path / "jax").glob("*-cache"))
    whole = entries[0].read_bytes()
    entries[0].write_bytes(whole[: len(whole) // 2])
    said = compile_in(tmp_path)[1]
    assert said.count("\n") == 1
    assert said.startswith("warning: a cached program was damaged and is compiled again")
    assert len(entries[0].read_bytes()) > len(whole) // 2
    assert compile_in(tmp_path)[1] == ""


def test_a_cache_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    said = compile_in(tmp_path / "file")[1]
    assert said.count("\n") == 1
    assert "programs are not cached in" in said


def test_an_entry_that_is_half_written_on_a_full_disk_is_taken_away(tmp_path, monkeypatch, capsys):
    from jax._src import compilation_cache

    from fdl.parallel import compile_cache

    monkeypatch.setenv(compile_cache.FOLDER, str(tmp_path))

    def put(key, *_):
        (tmp_path / f"{key}-cache").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compilation_cache, "put_executable_and_time", put)
    monkeypatch.setattr(compilation_cache, "get_executable_and_time", compilation_cache.get_executable_and_time)
    compile_cache.repair_on_read()
    for key in ("a", "b"):
        compilation_cache.put_executable_and_time(key, "name")  # type: ignore[call-arg]
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.count("\n") == 1
