"""Sounds: any records with an audio column as a dataset of waveforms, made log-mel on the device.

Shape legend: B batch, T samples, N frames, M mel bands.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import ceil_div
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, LazySource, dataset_of
from fdl.data.decoded_cache import stored
from fdl.data.log_mel import LOG_MEL, LogMel, log_mel
from fdl.data.modalities.kept import KeptDataset, keeps
from fdl.data.modalities.media_plan import AudioPlan, inputs_plan, kept
from fdl.data.modalities.targets import Goal, fit_target, supervised
from fdl.data.records import Column, Records


def _spectrogram(kept: KeptDataset, *, spectrogram: LogMel = LOG_MEL, **_: Any) -> dict[str, Any]:
    plan = inputs_plan(kept.fitted)
    assert isinstance(plan, AudioPlan)
    return {"transform": to_spectrogram(plan, spectrogram.bands)}


def to_spectrogram(plan: AudioPlan, bands: int) -> Callable[[Batch], Batch]:
    """Return the transform of waveforms [B, T] to log energies f32[B, N, M, 1] in mel bands, 2 channels of both."""

    def transform(batch: Batch) -> Batch:
        waves = jnp.asarray(batch.inputs, jnp.float32) / (32768 if plan.dtype == "int16" else 1)
        mel = log_mel(waves, rate=plan.rate, bands=bands)
        channels = [(mel + 7) / 7]  # silence is log 1e-6 = -14, so about -1 to 2
        if plan.normalise != "none":
            centred = mel - jnp.mean(mel, 1, keepdims=True)  # how loud a band is throughout says who speaks, not what
            scaled = centred / 4  # not over its deviation, by which steady noise would become as loud as speech
            channels = [scaled] if plan.normalise == "clip" else [*channels, scaled]
        return batch._replace(inputs=jnp.stack(channels, -1))

    return transform


@keeps(_spectrogram)
def sounds(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    goal: Goal = "auto",
    missing: Literal["refuse", "drop"] = "refuse",
    seconds: float = 0.0,
    spectrogram: LogMel = LOG_MEL,
) -> Dataset:
    """Return sounds with a class or a number each: inputs f32[B, N, M, 1], log energies in mel bands.

    spectrogram: bands, and samples per second: what a set declares is resampled to that; 0 takes what it declares,
                 16,000 where it declares nothing.
    seconds:     every sound is cut or padded with silence to that; 0 takes the longest of the first 200 of train.
    """
    records, column, goal_column = supervised(records, "audio", inputs, target, goal, missing)
    target_of = fit_target(records, goal_column, goal)
    records, plan = fit_sounds(records, column, spectrogram.rate, seconds)
    plan = replace(plan, normalise=spectrogram.normalise)

    def join(rows: Mapping[str, Column], split: str, indices: np.ndarray) -> Batch:
        waves = plan.encode(rows[column], lambda i: records.at(split, indices[i]))
        targets = target_of.encode(rows[goal_column], split, indices)
        return Batch(waves, targets, np.ones(len(indices), np.float32))

    spec = target_of.spec(jax.ShapeDtypeStruct((plan.length,), np.dtype(plan.dtype)), records.sizes)

    def load(split: str) -> LazySource:
        key = f"{column} {goal_column} {plan.declared} {plan.rate} {plan.length} {target_of.fitted}"
        return stored(records, spec, split, (column, goal_column), join, key=key)

    fitted = {"rate": plan.rate, "length": plan.length, "inputs": kept(plan), **target_of.kept}
    transform = to_spectrogram(plan, spectrogram.bands)
    return dataset_of(records.noting(target_of.said), spec, load, fitted, transform=transform)


def fit_sounds(records: Records, column: str, rate: int, seconds: float) -> tuple[Records, AudioPlan]:
    """Return how sounds become inputs, and the records with what is to be said; rate, seconds: as `sounds` has."""
    field = records.fields[column]
    if len(field.shape) != 1:
        raise UserError(f"column {column!r} of {records.name} has shape {field.shape}; sounds of one channel are read")
    declared, given = field.rate or rate or 16000, rate
    rate = rate or declared
    if not field.rate and not given:
        records = records.noting(f"{column}: 16,000 samples a second are taken for granted; --rate=N for N")
    if rate != declared:
        records = records.noting(f"{column}: {declared:,} samples a second are resampled to {rate:,}")
    some = records.read("train", np.arange(min(200, records.sizes["train"])), (column,))[column]
    longest = max(ceil_div(len(sound) * rate, declared) for sound in some)
    length = int(seconds * rate) or longest
    if None in field.shape and not seconds:
        records = records.noting(
            f"{column}: sounds are cut or padded to {length / rate:.3g} s, the longest of the first {len(some):,}; "
            "--seconds=S for another length"
        )
    dtype = np.dtype(np.int16) if field.dtype.kind in "iu" else np.dtype(np.float32)
    return records, AudioPlan(column=column, declared=declared, rate=rate, length=length, dtype=dtype.name)
