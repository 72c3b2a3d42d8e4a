"""Augmentation: pure functions `(key, batch) -> batch` that run on the device, in training only.

Each example has its own key, derived from its global index in the batch (`data_axis.row_keys`), so results do not
depend on the number of devices. Mixing augmentations take their partners from the whole batch, gathered over shards.

Shape legend: B batch, H height, W width, C channels, T time, F frequency.
"""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import data_axis
from fdl.core.errors import UserError
from fdl.core.exact import as_written
from fdl.core.types import Array, Batch
from fdl.data.dataset import Augment

One = Callable[[jax.Array, jax.Array], jax.Array]


def chain(*augments: Augment) -> Augment:
    """Return the augmentation that applies these in sequence, with independent randomness."""

    def augment(key: Array, batch: Batch) -> Batch:
        for number, transform in enumerate(augments):
            batch = transform(jax.random.fold_in(key, number), batch)
        return batch

    return augment


def per_example(one: One) -> Augment:
    """Return the augmentation that maps `one(key, example)` over the batch's inputs, with a key per example."""

    def augment(key: Array, batch: Batch) -> Batch:
        keys = data_axis.row_keys(key, len(batch.inputs))
        return batch._replace(inputs=jax.vmap(one)(keys, jnp.asarray(batch.inputs)))

    return augment


def augment_images(
    *, shift: float = 0.125, flip: bool = False, cutout: float = 0.0, colour: float = 0.0
) -> Augment | None:
    """Return the usual augmentations of images [B, ..., H, W, C]; None if all are off."""
    selected = [
        *([random_shift(shift)] if shift else []),
        *([random_flip()] if flip else []),
        *([random_cutout(cutout)] if cutout else []),
        *([color_jitter(colour)] if colour else []),
    ]
    return chain(*selected) if selected else None


def random_shift(share: float = 0.125) -> Augment:
    """Shift each image randomly by up to `share` of its sides, with edge padding (He et al., 2016)."""

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        height, width = x.shape[-3:-1]
        pad = tuple(int(as_written(share) * side) for side in (height, width))
        around = [(0, 0)] * (x.ndim - 3) + [(pad[0],) * 2, (pad[1],) * 2, (0, 0)]
        down, right = jax.random.split(key)
        start = [jnp.zeros((), jnp.int32)] * (x.ndim - 3) + [
            jax.random.randint(down, (), 0, 2 * pad[0] + 1),
            jax.random.randint(right, (), 0, 2 * pad[1] + 1),
            jnp.zeros((), jnp.int32),
        ]
        return lax.dynamic_slice(jnp.pad(x, around, mode="edge"), start, x.shape)

    return per_example(one)


def random_flip() -> Augment:
    """Flip each image horizontally with probability one half."""
    return per_example(lambda key, x: jnp.where(jax.random.bernoulli(key), jnp.flip(x, -2), x))


def random_cutout(share: float = 0.25) -> Augment:
    """Cutout: zero a random square with a side of `share` of the shorter side (DeVries and Taylor, 2017)."""

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        height, width = x.shape[-3:-1]
        half = share * min(height, width) / 2
        down, right = jax.random.uniform(key, (2,)) * jnp.array([height, width])
        rows = jnp.abs(jnp.arange(height) + 0.5 - down) < half
        columns = jnp.abs(jnp.arange(width) + 0.5 - right) < half
        hole = (rows[:, None] & columns[None]).reshape((1,) * (x.ndim - 3) + (height, width, 1))
        return jnp.where(hole, jnp.zeros((), x.dtype), x)

    return per_example(one)


def color_jitter(strength: float = 0.2) -> Augment:
    """Color jitter: change brightness and contrast of each image by up to `strength`, around its mean."""

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        brightness, contrast = jax.random.uniform(key, (2,), minval=-strength, maxval=strength)
        mean = jnp.mean(x)
        result: jax.Array = ((x - mean) * (1 + contrast) + mean + brightness).astype(x.dtype)
        return result

    return per_example(one)


def spec_augment(*, time: float = 0.1, frequency: float = 0.1) -> Augment:
    """SpecAugment (Park et al., 2019): zero a random span of time and one of frequency of [B, T, F, ...].

    time, frequency: the maximum span, as a fraction of the whole.
    """

    def random_span(key: jax.Array, length: int, share: float) -> jax.Array:
        start, span = jax.random.uniform(key, (2,))
        start, span = start * length, span * share * length
        place = jnp.arange(length)
        result: jax.Array = (place >= start) & (place < start + span)
        return result

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        keys = jax.random.split(key)
        rest = (1,) * (x.ndim - 2)
        masked = random_span(keys[0], x.shape[0], time).reshape(-1, 1, *rest)
        masked |= random_span(keys[1], x.shape[1], frequency).reshape(1, -1, *rest)
        return jnp.where(masked, jnp.zeros((), x.dtype), x)

    return per_example(one)


def vtlp(share: float = 0.1) -> Augment:
    """VTLP, vocal tract length perturbation: warp the frequencies of [B, T, F, ...] by up to `share`.

    Frequencies beyond the highest repeat it. Paper: Jaitly and Hinton, 2013.
    """

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        factor = jax.random.uniform(key, minval=1 - share, maxval=1 + share)
        place = jnp.minimum(jnp.arange(x.shape[1]) * factor, x.shape[1] - 1)
        below = jnp.floor(place).astype(jnp.int32)
        above = jnp.minimum(below + 1, x.shape[1] - 1)
        x = _float(x)
        rest = (place - below).astype(x.dtype).reshape(1, -1, *(1,) * (x.ndim - 2))
        return x[:, below] * (1 - rest) + x[:, above] * rest

    return per_example(one)


def mixup(classes: int, alpha: float = 0.2) -> Augment:
    """Mixup: blend each example with another of the whole batch; targets become f32[B, classes] (Zhang et al., 2018).

    Integer inputs become float32.
    """

    def augment(key: Array, batch: Batch) -> Batch:
        share, partner = _partners(key, batch, alpha)
        first, other = _float(batch.inputs), _float(partner.inputs)
        blend = _along(share, first)
        inputs = blend * first + (1 - blend) * other
        return batch._replace(inputs=inputs, targets=_mixed(batch, partner, share, classes))

    return augment


def cutmix(classes: int, alpha: float = 1.0) -> Augment:
    """CutMix: paste a rectangle of another image of the batch; targets are mixed by area (Yun et al., 2019)."""

    def augment(key: Array, batch: Batch) -> Batch:
        share, partner = _partners(key, batch, alpha)
        height, width = batch.inputs.shape[-3:-1]
        keys = data_axis.row_keys(jax.random.fold_in(key, 2), len(batch.inputs))
        centres = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
        half = jnp.sqrt(1 - share)[:, None] / 2
        rows = jnp.abs((jnp.arange(height)[None] + 0.5) / height - centres[:, :1]) < half
        columns = jnp.abs((jnp.arange(width)[None] + 0.5) / width - centres[:, 1:]) < half
        pasted = rows[:, :, None] & columns[:, None]
        area = 1 - jnp.mean(pasted.astype(jnp.float32), (1, 2))
        shape = (len(pasted), *(1,) * (batch.inputs.ndim - 4), height, width, 1)
        inputs = jnp.where(pasted.reshape(shape), partner.inputs, batch.inputs)
        return batch._replace(inputs=inputs, targets=_mixed(batch, partner, area, classes))

    return augment


def _partners(key: Array, batch: Batch, alpha: float) -> tuple[jax.Array, Batch]:
    """Return f32[B], the mixing weight of each example, and the batch of its partners.

    The partner is a random shift further in the whole batch. An example whose partner would be padding (weight 0) is
    its own partner.
    """
    count = len(batch.weights)
    whole_batch: Batch = data_axis.all_gather(batch)
    whole = len(whole_batch.weights)
    distance = jax.random.randint(jax.random.fold_in(key, 0), (), 1, max(whole, 2))
    others = (data_axis.rows(count) + distance) % whole
    others = jnp.where(whole_batch.weights[others] > 0, others, data_axis.rows(count))
    partner: Batch = jax.tree.map(lambda x: x[others], whole_batch)
    keys = data_axis.row_keys(jax.random.fold_in(key, 1), count)
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
    return share, partner


def _along(share: jax.Array, x: Array) -> jax.Array:
    return share.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)


def _mixed(batch: Batch, partner: Batch, share: jax.Array, classes: int) -> jax.Array:
    first, other = (_class_probabilities(per_example.targets, classes) for per_example in (batch, partner))
    return share[:, None] * first + (1 - share)[:, None] * other


def _class_probabilities(targets: Array, classes: int) -> jax.Array:
    """Return class probabilities f32[B, classes] of labels i32[B], or already mixed targets unchanged."""
    if targets.ndim == 1:
        return jax.nn.one_hot(targets, classes)
    if targets.shape[1:] != (classes,):
        raise UserError(
            f"targets {targets.shape} are not labels of {classes} classes; mix targets of one class per example"
        )
    return jnp.asarray(targets, jnp.float32)


def _float(x: Array) -> jax.Array:
    """Convert integers to float32, exact up to 24 bits; floats are unchanged."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


# The names of fdl 0.1, which work until fdl 0.3.
_RENAMED = {
    "crop": "random_shift",
    "mirror": "random_flip",
    "cut_out": "random_cutout",
    "recolour": "color_jitter",
    "mask": "spec_augment",
    "warp": "vtlp",
    "each": "per_example",
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now {_RENAMED[name]} (the old name works until fdl 0.3)", FutureWarning, 2)
    return globals()[_RENAMED[name]]
