"""Synthetic data of any shape, for benchmarks and tests."""

from functools import cache

import jax
import numpy as np

from fdl.core.types import SPLITS
from fdl.data.dataset import Dataset, Source, Spec, columns
from fdl.data.modalities.windows import disjoint_windows, windows


def synthetic(
    shape: tuple[int, ...] = (28, 28, 1),
    *,
    classes: int | None = 10,
    size: int = 1024,
    noise: float = 0.5,
    seed: int = 0,
) -> Dataset:
    """Return images, signals or features: inputs f32[B, *shape], targets i32[B] of `classes` or, with None, f32[B].

    Each class is a random pattern and each example its pattern plus `noise` standard deviations; without classes the
    target is a random linear function of the inputs plus noise. Training has `size` examples, the others a quarter.
    """
    sizes = {"train": size, "validation": max(1, size // 4), "test": max(1, size // 4)}

    @cache
    def load(split: str) -> Source:
        rng, rows = _generator(seed, split), sizes[split]
        pattern = np.random.default_rng(seed).standard_normal((classes or 1, *shape), np.float32)
        inputs = rng.standard_normal((rows, *shape), np.float32)
        if classes is None:
            flat = inputs.reshape(rows, -1)
            targets = flat @ pattern.reshape(-1) / np.sqrt(np.float32(flat.shape[1]))
            return columns(inputs, targets + np.float32(noise) * rng.standard_normal(rows, np.float32))
        labels = rng.integers(0, classes, rows, np.int32)
        return columns(pattern[labels] + np.float32(noise) * inputs, labels)

    target = np.float32 if classes is None else np.int32
    spec = Spec(
        inputs=jax.ShapeDtypeStruct(shape, np.float32),
        targets=jax.ShapeDtypeStruct((), target),
        sizes=sizes,
        classes=classes,
    )
    return Dataset(name="synthetic", spec=spec, load=load)


def synthetic_tokens(length: int = 128, *, vocabulary: int = 256, size: int = 1024, seed: int = 0) -> Dataset:
    """Return next-token windows over a random walk: inputs and targets i32[B, T] below `vocabulary`.

    Each token is the one before plus 1, 2 or 3 modulo the vocabulary: no model does better than log 3 nats per token.
    """
    sizes = {"train": size, "validation": max(1, size // 4), "test": max(1, size // 4)}

    @cache
    def load(split: str) -> Source:
        stride = 1 if split == "train" else length
        moves = _generator(seed, split).integers(1, 4, sizes[split] * stride + (length if stride == 1 else 1))
        return windows(np.cumsum(moves).astype(np.int32) % vocabulary, length, stride=stride)

    spec = Spec(
        inputs=jax.ShapeDtypeStruct((length,), np.int32),
        targets=jax.ShapeDtypeStruct((length,), np.int32),
        weights=(length,),
        sizes=sizes,
        epoch=disjoint_windows(size + length, length),
        classes=vocabulary,
        vocabulary=vocabulary,
    )
    return Dataset(name="synthetic_tokens", spec=spec, load=load)


def synthetic_texts(
    length: int = 128, *, vocabulary: int = 256, classes: int = 2, size: int = 1024, seed: int = 0
) -> Dataset:
    """Return texts of several lengths with a class each: inputs `{"inputs": i32[B, T], "lengths": i32[B]}`.

    Half of the tokens of a text are any, the other half are its class modulo the number of classes.
    """
    sizes = {"train": size, "validation": max(1, size // 4), "test": max(1, size // 4)}

    @cache
    def load(split: str) -> Source:
        rng, rows = _generator(seed, split), sizes[split]
        labels = rng.integers(0, classes, rows, np.int32)
        tokens = rng.integers(0, vocabulary, (rows, length), np.int32)
        telling = np.minimum(tokens // classes * classes + labels[:, None], vocabulary - 1)
        lengths = rng.integers((length + 1) // 2, length + 1, rows, np.int32)
        return columns(
            {"inputs": np.where(rng.random((rows, length)) < 0.5, tokens, telling), "lengths": lengths}, labels
        )

    spec = Spec(
        inputs={"inputs": jax.ShapeDtypeStruct((length,), np.int32), "lengths": jax.ShapeDtypeStruct((), np.int32)},
        targets=jax.ShapeDtypeStruct((), np.int32),
        sizes=sizes,
        classes=classes,
        vocabulary=vocabulary,
    )
    return Dataset(name="synthetic_texts", spec=spec, load=load)


def _generator(seed: int, split: str) -> np.random.Generator:
    return np.random.default_rng([seed % 2**63, 1 + SPLITS.index(split)])
