"""Doctor: check this machine's software, devices, memory and folders, and suggest remedies.

No experiment is needed, and the checks are independent, so it also works without a working JAX.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fdl.core import kernel_choice
from fdl.core.cache_folder import cache_folder

if TYPE_CHECKING:
    from fdl.parallel.devices import Accelerator

GIB = 2**30
PYTHON = (3, 11)
NEEDED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "absl-py", "tqdm")
WANTED = ("tensorflow-datasets", "scikit-learn", "tensorboardX")
FREE_DISK = 2 * GIB


class Finding(NamedTuple):
    """The result of one check, with a remedy if something is wrong."""

    name: str
    seen: str
    remedy: str = ""


def doctor(accelerator: "Accelerator" = "any", *, log: Callable[[str], None] = print) -> list[Finding]:
    """Return and print all findings; those with a remedy are problems, such as a missing accelerator."""
    found = []
    for look in (software, partial(devices, accelerator), memory, tensorflow, native_kernels, folders):
        for finding in look():
            found.append(finding)
            log(f"{'wrong' if finding.remedy else 'ok':6} {finding.name:22} {finding.seen}")
            if finding.remedy:
                log(f"{'':6} {'':22} -> {finding.remedy}")
    wrong = sum(bool(finding.remedy) for finding in found)
    log(f"\n{wrong} of {len(found)} findings need you" if wrong else "\nall is well")
    return found


def software() -> Iterator[Finding]:
    """Check Python, and the required and optional packages."""
    old = sys.version_info < PYTHON
    wanted = ".".join(map(str, PYTHON))
    yield Finding("python", platform.python_version(), f"use Python {wanted} or newer" if old else "")
    for name in (*NEEDED, *WANTED):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "is missing", f"pip install {name}")


def devices(kind: "Accelerator") -> Iterator[Finding]:
    """Check JAX's devices by computing a matrix product on each of this kind."""
    try:
        import jax
        import jax.numpy as jnp

        from fdl.parallel import devices as accelerator

        found = accelerator.find(kind)
    except (ImportError, ValueError) as error:
        yield Finding("devices", _one_line(error), "unset JAX_PLATFORMS, or reinstall jax for this accelerator")
        return
    yield Finding("devices", accelerator.describe(found), accelerator.overlooked() or "")
    wrong = []
    for device in found:
        try:
            ones = jax.device_put(jnp.ones((64, 64)), device)
            if float((ones @ ones).sum()) != 64.0**3:
                wrong.append(f"{device} adds up wrongly")
        except RuntimeError as error:
            wrong.append(f"{device}: {_one_line(error)}")
    yield Finding(
        "a product on each",
        "; ".join(wrong) or "right",
        "end other programs that hold the accelerator, or restart the machine" if wrong else "",
    )
    stats = found[0].memory_stats() if found[0].platform != "cpu" else None
    if stats:
        used, limit = stats.get("bytes_in_use", 0), stats.get("bytes_limit", 0)
        yield Finding("device memory", f"{(limit - used) / GIB:.1f} of {limit / GIB:.1f} GiB free on {found[0]}")


def memory() -> Iterator[Finding]:
    """Check the cores and the memory of the host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", str(cores))
    info = Path("/proc/meminfo")
    if info.exists():
        kib = {line.split(":")[0]: int(line.split()[1]) for line in info.read_text().splitlines()}
        free, total = kib["MemAvailable"] / 2**20, kib["MemTotal"] / 2**20
        tight = "end other programs, or choose --feed=streamed and a smaller batch" if free < 1 else ""
        yield Finding("memory", f"{free:.1f} of {total:.1f} GiB free", tight)


def tensorflow() -> Iterator[Finding]:
    """Check for TensorFlow without importing it: only preparing some TFDS datasets needs it."""
    there = importlib.util.find_spec("tensorflow") is not None
    yield Finding("tensorflow", "is here" if there else "is not here, and only preparing some TFDS datasets needs it")


def native_kernels() -> Iterator[Finding]:
    """Check for a C++ compiler, which `--kernels=native` needs and nothing else does."""
    try:
        from fdl.models.kernels.native import library
    except ImportError as error:  # without JAX, which other checks report
        yield Finding("native kernels", _one_line(error))
        return
    measured = ", ".join(name for name in kernel_choice.NATIVE if kernel_choice.faster_native(name))
    default = f"the default here: {measured or 'none'} (--kernels=native: all)"
    yield Finding("native kernels", f"{library.state()}; {default}")


def folders() -> Iterator[Finding]:
    """Check the folders of runs, datasets and compiled programs, and their free disk space."""
    datasets = Path(os.environ.get("TFDS_DATA_DIR") or os.path.expanduser("~/tensorflow_datasets"))
    names = sorted(path.name for path in datasets.iterdir() if path.is_dir()) if datasets.is_dir() else []
    held = f"holds {', '.join(names)}" if names else "holds no dataset yet"
    yield _folder("tfds folder", datasets, held, "set TFDS_DATA_DIR to a folder that you may write to")
    cache = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or (cache_folder() or Path("jax").absolute()) / "jax")
    programs = sum(1 for _ in cache.glob("*-cache")) if cache.is_dir() else 0
    way_out = "set JAX_COMPILATION_CACHE_DIR to a folder that you may write to"
    yield _folder("compile cache", cache, f"holds {programs} programs", way_out)
    yield _folder("runs", Path("runs").absolute(), "", "start in a folder that you may write to, or give --workdir")


def _folder(name: str, path: Path, held: str, way_out: str) -> Finding:
    there = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(there).free
    seen = f"{path}: " + ", ".join(filter(None, (held, f"{free / GIB:.1f} GiB free")))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding(name, f"{path}: cannot be written", way_out)
    full = f"free some disk, below {FREE_DISK // GIB} GiB runs end early"
    return Finding(name, seen, full if free < FREE_DISK else "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
