"""Provenance: versions, machine, processor and commit of a run."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.core import kernel_choice

if TYPE_CHECKING:
    import jax

# What JAX reads from the environment and changes numbers by.
NUMERICS = ("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE")
PACKAGES = ("fdl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")


def environment(devices: "Sequence[jax.Device]") -> dict[str, Any]:
    """Return the environment of a run, for its report."""
    from fdl.parallel import devices as accelerator

    return {
        "command": sys.argv,
        "devices": accelerator.describe(devices),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "commit": _commit(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that a result depends on."""
    return {name: installed for name in PACKAGES if (installed := _version(name))}


def machine(executor: str, devices: "Sequence[jax.Device]", *, native: bool = False) -> dict[str, Any]:
    """Return what affects the last bits of a result besides the experiment, to warn when a resume changes it.

    native: whether the program calls native kernels.
    """
    from fdl.models.kernels.native.library import library
    from fdl.parallel import devices as accelerator

    return {
        "executor": f"{executor}, {accelerator.describe(devices)}",
        **({"native kernels": library().line} if native else {}),
        "processor": kernel_choice.processor().get("model name") or platform.processor(),
        "cores": os.cpu_count(),
        "XLA_FLAGS": " ".join(word for word in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in word),
        **{name: os.environ[name] for name in NUMERICS if name in os.environ},
        **{name: _version(name) for name in ("jax", "jaxlib", "flax", "optax")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():  # installed: a surrounding repository belongs to another project
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
