"""Log-mel spectrograms, in JAX on the device.

Shape legend: B batch, T samples, N frames, M mel bands, F frequencies.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.exact import as_written
from fdl.core.types import Array

Normalise = Literal["none", "clip", "both"]


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """How a dataset's waveforms become spectrograms.

    rate: samples per second, 0 as the set declares; bands: M. normalise: what the model sees, "none" the log energies,
    "clip" these less their mean over time, per band and clip, "both" one as a channel each.
    """

    rate: int = 0
    bands: int = 40
    normalise: Normalise = "none"


LOG_MEL = LogMel()


def log_mel(waves: Array, *, rate: int, bands: int = 40, window: float = 0.025, hop: float = 0.010) -> jax.Array:
    """Return f32[B, N, M]: log energies of `waves: f32[B, T]`, with N = 1 + (T - window) // hop frames.

    rate: samples per second; window, hop: in seconds. Hann windows, power spectrum, triangular bands that are evenly
    spaced on the mel scale `2595 log10(1 + f / 700)` (O'Shaughnessy, 1987), and log(x + 1e-6).
    """
    length, step = max(int(rate * as_written(window)), 2), max(int(rate * as_written(hop)), 1)
    if waves.shape[-1] < length:
        raise UserError(f"sounds of {waves.shape[-1]} samples are shorter than a window of {length}; give longer ones")
    size = 1 << (length - 1).bit_length()
    starts = np.arange(0, waves.shape[-1] - length + 1, step)
    frames = jnp.asarray(waves, jnp.float32)[:, starts[:, None] + np.arange(length)[None]]
    hann = np.hanning(length + 1)[:-1].astype(np.float32)
    power = jnp.abs(jnp.fft.rfft(frames * hann[None, None], size)) ** 2
    return jnp.log(power @ jnp.asarray(mel_bands(rate, size, bands)) + 1e-6)


def mel_bands(rate: int, size: int, bands: int) -> np.ndarray:
    """Return f32[F, M]: the weight of each of the F = size // 2 + 1 frequencies in each triangular band."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)[None]
    weights = np.clip(np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None)
    # A band narrower than the frequency spacing may contain none: it then takes the nearest.
    empty = np.flatnonzero(weights.sum(1) == 0)
    weights[empty, np.abs(frequencies - middle[empty]).argmin(1)] = 1
    return weights.T.astype(np.float32)
