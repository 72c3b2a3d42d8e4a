"""What the makers of known chips promise: peaks that no program can pass, so floors of the time of a step.

Peaks are those of the data sheets for dense bfloat16 matrix products and for the memory of one chip.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """flops: floating point operations a second in bfloat16; bandwidth: bytes a second of its memory."""

    flops: float
    bandwidth: float


# What a device calls itself holds the name (`jax.Device.device_kind`).
CHIPS: Mapping[str, Chip] = {
    "T4": Chip(65e12, 0.32e12),
    "V100": Chip(125e12, 0.9e12),
    "L4": Chip(121e12, 0.3e12),
    "A100": Chip(312e12, 1.555e12),
    "H100": Chip(989e12, 3.35e12),
    "H200": Chip(989e12, 4.8e12),
    "B200": Chip(2250e12, 8.0e12),
    "TPU v2": Chip(45e12, 0.7e12),
    "TPU v3": Chip(123e12, 0.9e12),
    "TPU v4": Chip(275e12, 1.2e12),
    "TPU v5 lite": Chip(197e12, 0.819e12),
    "TPU v5": Chip(459e12, 2.765e12),  # sold as v5p
    "TPU v6 lite": Chip(918e12, 1.64e12),
}


def known(kind: str) -> Chip | None:
    """Return the chip that a device's kind names, or None."""
    words = f" {kind} ".replace("-", " ")
    return next((chip for name, chip in CHIPS.items() if f" {name} " in words), None)


def floors(flops: float, moved: float) -> dict[str, tuple[float, str]]:
    """Return, by chip, the least seconds for so much work and so many bytes, and which of the two it is."""
    return {
        name: max((flops / chip.flops, "compute"), (moved / chip.bandwidth, "memory")) for name, chip in CHIPS.items()
    }
