"""The library of native kernels: compiled on first use by the compiler of this machine, and kept in the cache folder.

The file's name is a digest of everything that it depends on, so that a change of the sources, of JAX, of the compiler
or of the processor builds another. A build writes a file of its own and renames it, and the file ends with its
digest: concurrent and killed builds and a full disk leave no library that is wrong.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from fdl.core import kernel_choice
from fdl.core.cache_folder import cache_folder
from fdl.core.errors import warn

FILES = (
    "vectors.h", "threads.h", "images.h", "rows.h", "tiles.h", "convolution.h", "activations.h", "lstm.h",
    "multiply_add.h", "bindings.cc",
)  # fmt: skip
SOURCES = tuple(map(Path(__file__).with_name, FILES))
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")
FUNCTIONS = (
    "fdl_convolve", "fdl_convolve_input_gradient", "fdl_convolve_kernel_gradient", "fdl_lstm", "fdl_lstm_gradient",
)  # fmt: skip
SECONDS = 300  # after which a compiler is given up; it takes five on a quiet core
DIGEST = 32  # bytes at the end of the file


class Library(NamedTuple):
    """Whether native kernels can be called here, and a line that says by what, or why not."""

    available: bool
    line: str
    code: ctypes.CDLL | None = None


@cache
def library() -> Library:
    """Load the library, compiled first if it must be, and register its functions with JAX; never raises."""
    try:
        loaded = _load()
        import jax

        for name in FUNCTIONS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        return Library(False, " ".join(str(error).split())[:300])
    return Library(True, f"compiled by {_version(compiler())}", loaded)


def multiply_add(rounds: int) -> float:
    """Run a loop of fused multiply-adds in this thread and return its FLOPs; 0 without the library."""
    code = library().code
    if code is None:
        return 0.0
    function = code.fdl_multiply_add
    function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_double
    return float(function(rounds))


@cache
def warn_once(line: str) -> None:
    """Warn that native kernels were asked for and cannot be used."""
    warn(f"native kernels are not used: {line}")


def compiler() -> tuple[str, ...]:
    """Return the command of the C++ compiler: $CXX, or the first of g++, clang++ and c++; empty if there is none."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    for name in names:
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return tuple(words)
    return ()


def state() -> str:
    """Return in one line which compiler and which library are here, or why not; compiles nothing."""
    words = compiler()
    if not words:
        return _missing()
    try:
        file = _file(words)
        return f"{_version(words)}; {file}{'' if file.exists() else ', compiled on first use'}"
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return " ".join(str(error).split())[:300]


def build(words: Sequence[str], file: Path, flags: Sequence[str] = FLAGS) -> None:
    """Compile the library into `file`, whole or not at all; raise an OSError or a RuntimeError where that fails.

    words: the command of the compiler.
    """
    import jax

    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob("*.part"):  # of builds that were killed
        with suppress(FileNotFoundError):  # renamed meanwhile by its build
            if time.time() - old.stat().st_mtime > 2 * SECONDS:
                old.unlink()
    number, name = tempfile.mkstemp(suffix=".part", dir=file.parent)
    os.close(number)
    part = Path(name)
    try:
        command = [*words, *flags, "-isystem", jax.ffi.include_dir(), str(SOURCES[-1]), "-o", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise RuntimeError(f"{words[0]} failed: {lines[0] if lines else done.returncode}")
        with part.open("rb+") as stream:
            digest = hashlib.sha256(stream.read()).digest()
            stream.write(digest)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _load() -> ctypes.CDLL:
    words = compiler()
    if not words:
        raise RuntimeError(_missing())
    file = _file(words)
    if not _intact(file):
        build(words, file)
    return ctypes.CDLL(str(file))


def _missing() -> str:
    looked_for = f"CXX={os.environ['CXX']}" if os.environ.get("CXX") else "g++, clang++ or c++"
    return f"no C++ compiler is found by {looked_for}; install g++, or set CXX to the command of one"


def _intact(file: Path) -> bool:
    """Return whether the file is a library that this user (or root) built in whole."""
    try:
        content = file.read_bytes()
        owner = file.stat().st_uid
    except OSError:
        return False
    return owner in (0, os.getuid()) and hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def _file(words: Sequence[str]) -> Path:
    folder = cache_folder()
    if folder is None:
        raise RuntimeError("this user has no home folder; set FDL_CACHE to a folder")
    key = hashlib.sha256()
    for source in SOURCES:
        key.update(source.read_bytes())
    for text in (*FLAGS, *words, _version(tuple(words)), version("jaxlib"), _processor(), str(os.getuid())):
        key.update(text.encode() + b"\0")
    return folder / "native" / f"kernels-{key.hexdigest()[:24]}.so"


@cache
def _version(words: tuple[str, ...]) -> str:
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=SECONDS)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(words)} --version failed, so that it is no compiler to rely on")
    return lines[0]


def _processor() -> str:
    """Return what `-march=native` depends on: the processor's name and its instructions."""
    known = kernel_choice.processor()
    names = ("vendor_id", "model name", "cpu family", "model", "flags", "Features", "CPU part")
    return "\n".join(known.get(name, "") for name in names) if known else platform.processor() or platform.machine()
