"""Accelerators: the requested kind, never silently another."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import jax

from fdl.core.errors import UserError

Accelerator = Literal["any", "cpu", "gpu", "tpu"]
GOOGLE = "0x1ae0"  # PCI vendor id


def find(accelerator: Accelerator = "any") -> list[jax.Device]:
    """Return the devices of this kind; "any" is JAX's default. Raise a ValueError if there are none."""
    if accelerator not in get_args(Accelerator):
        raise UserError(f"accelerator {accelerator!r} is not one of {', '.join(get_args(Accelerator))}")
    try:
        return jax.devices(None if accelerator == "any" else accelerator)
    except RuntimeError as error:
        raise UserError(
            f"accelerator {accelerator!r} is not available: jax sees {seen()} ({str(error).splitlines()[0]}); "
            f"{remedy(accelerator)}"
        ) from None


def seen() -> str:
    """Return what JAX sees, such as "8 cpu devices (cpu)"."""
    try:
        return describe(jax.devices())
    except RuntimeError:
        return "no devices"


def describe(devices: Sequence[jax.Device]) -> str:
    """Return the count, platform and kind of devices, such as "8 cpu devices (cpu)"."""
    first, count = devices[0], len(devices)
    return f"{count} {first.platform} device{'s' * (count > 1)} ({first.device_kind})"


def remedy(accelerator: str) -> str:
    """Return what to do if JAX does not see an accelerator."""
    install = {"gpu": "install jax[cuda12] or jax[cuda13]", "tpu": "run on a TPU machine with jax[tpu]"}
    return f"{install.get(accelerator, 'unset JAX_PLATFORMS')}, or choose --accelerator=any"


def overlooked(root: Path = Path("/")) -> str | None:
    """Return a warning if this machine has an accelerator but JAX would run on the CPU.

    root: the folder of /proc, /dev and /sys.
    """
    if jax.default_backend() != "cpu" or "cpu" in os.environ.get("JAX_PLATFORMS", ""):
        return None
    for name, path in present(root):
        return f"this machine has a {name} ({path}) but jax sees only the cpu; {remedy(name)}"
    return None


def present(root: Path = Path("/")) -> Iterator[tuple[str, Path]]:
    """Yield the accelerators known to the kernel, with their path, independently of JAX.

    TPUs up to v4 have /dev/accel0. Later ones use VFIO, as other devices do too, and are identified by Google's vendor
    id on the PCI bus.
    """
    if (driver := root / "proc/driver/nvidia/version").exists():
        yield "gpu", driver
    if (device := root / "dev/accel0").exists():
        yield "tpu", device
    elif any((root / "dev/vfio").glob("[0-9]*")):
        for vendor in sorted((root / "sys/bus/pci/devices").glob("*/vendor")):
            with contextlib.suppress(OSError):
                if vendor.read_text().strip() == GOOGLE:
                    yield "tpu", vendor.parent
                    return
