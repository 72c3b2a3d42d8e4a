"""Accelerators: finding the one that was asked for, and never quietly another."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import jax

Accelerator = Literal["any", "cpu", "gpu", "tpu"]


def find(accelerator: Accelerator = "any") -> list[jax.Device]:
    """Return the devices of this kind; "any" is whatever JAX prefers. Raise a ValueError where there is none."""
    if accelerator not in get_args(Accelerator):
        raise ValueError(f"accelerator {accelerator!r} is not one of {', '.join(get_args(Accelerator))}")
    try:
        return jax.devices(None if accelerator == "any" else accelerator)
    except RuntimeError as error:
        raise ValueError(
            f"accelerator {accelerator!r} is not there: jax sees {seen()} ({str(error).splitlines()[0]}); "
            f"{remedy(accelerator)}"
        ) from None


def seen() -> str:
    """Return what JAX sees, such as "8 cpu devices (cpu)"."""
    try:
        return describe(jax.devices())
    except RuntimeError:
        return "no device at all"


def describe(devices: Sequence[jax.Device]) -> str:
    """Return the count, platform and kind of some devices in a few words."""
    first, count = devices[0], len(devices)
    return f"{count} {first.platform} device{'s' * (count > 1)} ({first.device_kind})"


def remedy(accelerator: str) -> str:
    """Return what to do where an accelerator is not seen."""
    install = {"gpu": "install jax[cuda12] or jax[cuda13]", "tpu": "run on a TPU machine with jax[tpu]"}
    return f"{install.get(accelerator, 'unset JAX_PLATFORMS')}, or choose --accelerator=any"


def overlooked() -> str | None:
    """Return a warning where this machine has an accelerator and JAX would run on the CPU all the same."""
    hardware = {"gpu": Path("/proc/driver/nvidia/version"), "tpu": Path("/dev/accel0")}
    for name, path in hardware.items():
        if path.exists() and jax.default_backend() == "cpu" and "cpu" not in os.environ.get("JAX_PLATFORMS", ""):
            return f"this machine has a {name} ({path}) but jax sees only the cpu; {remedy(name)}"
    return None
