"""Spoken digits: "three seven oh one" in many synthetic voices, with noise; a small TIDIGITS (Leonard, 1984).

Shape legend: B batch, T samples, F pairs of frames, M mel bands, N words.
"""

from collections.abc import Mapping
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import SPLITS, Array, Batch
from fdl.data.dataset import Augment, Dataset, Source, Spec, columns
from fdl.data.datasets.voices import RATE, Utterance, speak
from fdl.data.log_mel import log_mel
from fdl.data.split import pick

WORDS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # i is symbol i + 1, 0 is blank
SIZES = {"train": 9600, "validation": 200, "test": 500}
_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc")
_VARIANTS = (
    "Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Lee Marco Mario Michael Mike adam anika "
    "antonio aunty belinda benjamin boris caleb david ed edward f1 f2 f3 f4 f5 grandma grandpa gustave ian iven "
    "john linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel norbert pablo paul pedro quincy rob robert "
    "sandro shelby steph travis victor zac"
)
# Heard in training only: machines, whisperers and other takes of who trains, but no namesake of who is held out.
_ODD = (
    "Demonic Nguyen Reed RicishayMax RicishayMax2 RicishayMax3 Storm Tweaky UniRobot anikaRobot announcer croak "
    "edward2 iven2 iven3 iven4 kaukovalta klatt klatt2 klatt3 klatt4 klatt5 klatt6 robosoft robosoft2 robosoft3 "
    "robosoft4 robosoft5 robosoft6 robosoft7 robosoft8 steph2 steph3 whisper whisperf"
)
_NAMES = _VARIANTS.split()
# Every eighth speaker is held out, so the choice is arbitrary.
_SPEAKERS = {
    "train": [*(name for place, name in enumerate(_NAMES) if place % 8 not in (3, 7)), *_ODD.split()],
    "validation": _NAMES[3::8],
    "test": _NAMES[7::8],
}


def spoken_digits(
    *,
    most: int = 4,
    bands: int = 40,
    augment: Augment | None = None,
    sizes: Mapping[str, int] = SIZES,
    seed: int = 0,
) -> Dataset:
    """Return utterances of two to `most` words: inputs f32[B, F, M, 2], targets i32[B, N].

    Two of the 40 frames a second make one step for the net (Sak et al., 2015). Targets are the words, numbered by WORDS
    from 1 on, then 0. Speakers, pitches, speeds, loudness and noise (10 to 30 decibels below the voice) are drawn from
    a seed, pitches and speeds more widely for training; no speaker is in two splits.
    """
    if not 2 <= most <= 8:
        raise UserError(f"most {most} is no count of words to be said; give 2 to 8")
    seconds = 0.55 * most + 0.6

    @cache
    def load(split: str) -> Source:
        return spoken(split, sizes[split], most=most, seconds=seconds, seed=seed)

    def transform(batch: Batch) -> Batch:
        waves = jnp.asarray(batch.inputs, jnp.float32) / 32768
        mel = log_mel(waves, rate=RATE, bands=bands, window=0.05, hop=0.025)
        mel = mel - jnp.mean(mel, 1, keepdims=True)  # how loud a band is throughout says who speaks, not what
        mel = mel / (jnp.std(mel, (1, 2), keepdims=True) + 1e-3)
        pairs = mel[:, : mel.shape[1] // 2 * 2].reshape(mel.shape[0], -1, 2, bands).swapaxes(2, 3)
        return batch._replace(inputs=pairs)

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((int(seconds * RATE),), np.int16),
        targets=jax.ShapeDtypeStruct((most,), np.int32),
        sizes=sizes,
        classes=1 + len(WORDS),
        names=("", *WORDS),
    )
    return Dataset(name="spoken_digits", spec=spec, load=load, transform=transform, augment=augment)


def spoken(split: str, size: int, *, most: int, seconds: float, seed: int) -> Source:
    """Return `size` utterances in the voices of a split: waves i16[T] and the words as targets i32[N]."""
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    speakers = pick(_SPEAKERS, split)
    speeds, pitches = ((150, 251), (10, 96)) if split == "train" else ((160, 231), (30, 71))
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, most + 1))) for _ in range(size)]
    said = speak(
        [
            Utterance(
                text,
                f"{rng.choice(_ACCENTS)}+{rng.choice(speakers)}",
                int(rng.integers(*speeds)),
                int(rng.integers(*pitches)),
            )
            for text in texts
        ]
    )
    waves = np.zeros((size, int(seconds * RATE)), np.int16)
    for wave, voice in zip(waves, said, strict=True):
        voice = voice[: len(wave)].astype(np.float32)
        start = rng.integers(0, len(wave) - len(voice) + 1)
        noise = rng.standard_normal(len(wave)) * voice.std() * 10 ** (-rng.uniform(10, 30) / 20)
        noise[start : start + len(voice)] += voice
        wave[:] = np.clip(noise * rng.uniform(0.3, 1.0), -32768, 32767)
    targets = np.zeros((size, most), np.int32)
    for row, text in zip(targets, texts, strict=True):
        words = text.split(" ")
        row[: len(words)] = [1 + WORDS.index(word) for word in words]
    return columns(waves, targets)


def transcript(symbols: Array) -> str:
    """Return the words of i32[N] symbols, of which 0 says nothing."""
    return " ".join(WORDS[symbol - 1] for symbol in np.asarray(symbols).tolist() if symbol)
