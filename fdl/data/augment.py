"""Augmentation: pure functions `(key, batch) -> batch` that run on the device in training only.

Every example draws from a key of its own place in the batch (`axis.row_keys`), so that a run on one device and on eight
sees the same pictures. What mixes examples takes its partners from the whole batch, gathered over the shards.

Shape legend: B batch, H height, W width, C channels, T time, F frequency.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core import data_axis
from fdl.core.exact import as_written
from fdl.core.types import Array, Batch
from fdl.data.dataset import Augment

One = Callable[[jax.Array, jax.Array], jax.Array]


def chain(*augments: Augment) -> Augment:
    """Return the augmentation that applies these in turn, each with its own randomness."""

    def augment(key: Array, batch: Batch) -> Batch:
        for number, each in enumerate(augments):
            batch = each(jax.random.fold_in(key, number), batch)
        return batch

    return augment


def each(one: One) -> Augment:
    """Return the augmentation that changes every example's inputs by `one(key, example)`, with a key of its own."""

    def augment(key: Array, batch: Batch) -> Batch:
        keys = data_axis.row_keys(key, len(batch.inputs))
        return batch._replace(inputs=jax.vmap(one)(keys, jnp.asarray(batch.inputs)))

    return augment


def augment_images(
    *, shift: float = 0.125, flip: bool = False, cutout: float = 0.0, colour: float = 0.0
) -> Augment | None:
    """Return the usual changes of images [B, ..., H, W, C], None where nothing is asked for."""
    chosen = [
        *([crop(shift)] if shift else []),
        *([mirror()] if flip else []),
        *([cut_out(cutout)] if cutout else []),
        *([recolour(colour)] if colour else []),
    ]
    return chain(*chosen) if chosen else None


def crop(share: float = 0.125) -> Augment:
    """Shift each image by up to `share` of its sides, repeating its edge where nothing was (He et al., 2016)."""

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

    return each(one)


def mirror() -> Augment:
    """Flip each image from left to right with probability one half."""
    return each(lambda key, x: jnp.where(jax.random.bernoulli(key), jnp.flip(x, -2), x))


def cut_out(share: float = 0.25) -> Augment:
    """Fill a square of `share` of the shorter side, anywhere in each image, with 0 (DeVries and Taylor, 2017)."""

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        height, width = x.shape[-3:-1]
        half = share * min(height, width) / 2
        down, right = jax.random.uniform(key, (2,)) * jnp.array([height, width])
        rows = jnp.abs(jnp.arange(height) + 0.5 - down) < half
        columns = jnp.abs(jnp.arange(width) + 0.5 - right) < half
        hole = (rows[:, None] & columns[None]).reshape((1,) * (x.ndim - 3) + (height, width, 1))
        return jnp.where(hole, jnp.zeros((), x.dtype), x)

    return each(one)


def recolour(strength: float = 0.2) -> Augment:
    """Change brightness and contrast of each image by up to `strength`, around its own mean."""

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        brightness, contrast = jax.random.uniform(key, (2,), minval=-strength, maxval=strength)
        mean = jnp.mean(x)
        result: jax.Array = ((x - mean) * (1 + contrast) + mean + brightness).astype(x.dtype)
        return result

    return each(one)


def mask(*, time: float = 0.1, frequency: float = 0.1) -> Augment:
    """SpecAugment (Park et al., 2019): a random span of time and one of frequency of [B, T, F, ...] become 0.

    time, frequency: the longest span, as a share of the whole.
    """

    def train_until_due(key: jax.Array, length: int, share: float) -> jax.Array:
        begin, long = jax.random.uniform(key, (2,))
        begin, long = begin * length, long * share * length
        place = jnp.arange(length)
        result: jax.Array = (place >= begin) & (place < begin + long)
        return result

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        keys = jax.random.split(key)
        rest = (1,) * (x.ndim - 2)
        gone = train_until_due(keys[0], x.shape[0], time).reshape(-1, 1, *rest)
        gone |= train_until_due(keys[1], x.shape[1], frequency).reshape(1, -1, *rest)
        return jnp.where(gone, jnp.zeros((), x.dtype), x)

    return each(one)


def warp(share: float = 0.1) -> Augment:
    """Stretch or squeeze the frequencies of [B, T, F, ...] by up to `share`, as another throat would.

    What is drawn in from beyond the highest frequency repeats it. Paper: Jaitly and Hinton, 2013.
    """

    def one(key: jax.Array, x: jax.Array) -> jax.Array:
        factor = jax.random.uniform(key, minval=1 - share, maxval=1 + share)
        place = jnp.minimum(jnp.arange(x.shape[1]) * factor, x.shape[1] - 1)
        below = jnp.floor(place).astype(jnp.int32)
        above = jnp.minimum(below + 1, x.shape[1] - 1)
        x = _float(x)
        rest = (place - below).astype(x.dtype).reshape(1, -1, *(1,) * (x.ndim - 2))
        return x[:, below] * (1 - rest) + x[:, above] * rest

    return each(one)


def mixup(classes: int, alpha: float = 0.2) -> Augment:
    """Blend each example with another of the whole batch: targets become f32[B, classes] (Zhang et al., 2018).

    Bytes and other integers become float32, since a blend of two is none of them.
    """

    def augment(key: Array, batch: Batch) -> Batch:
        share, partner = _partners(key, batch, alpha)
        own, other = _float(batch.inputs), _float(partner.inputs)
        blend = _along(share, own)
        inputs = blend * own + (1 - blend) * other
        return batch._replace(inputs=inputs, targets=_mixed(batch, partner, share, classes))

    return augment


def cutmix(classes: int, alpha: float = 1.0) -> Augment:
    """Paste a rectangle of another image of the whole batch: targets are its share of area (Yun et al., 2019)."""

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
    """Return f32[B], how much of itself each example keeps, and the batch of its partners.

    The partner stands a random distance further on in the whole batch. An example of weight 0 is padding: whoever would
    meet it meets itself.
    """
    count = len(batch.weights)
    everyone: Batch = data_axis.all_gather(batch)
    whole = len(everyone.weights)
    distance = jax.random.randint(jax.random.fold_in(key, 0), (), 1, max(whole, 2))
    others = (data_axis.rows(count) + distance) % whole
    others = jnp.where(everyone.weights[others] > 0, others, data_axis.rows(count))
    partner: Batch = jax.tree.map(lambda x: x[others], everyone)
    keys = data_axis.row_keys(jax.random.fold_in(key, 1), count)
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
    return share, partner


def _along(share: jax.Array, x: Array) -> jax.Array:
    return share.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)


def _mixed(batch: Batch, partner: Batch, share: jax.Array, classes: int) -> jax.Array:
    own, other = (_shares(each.targets, classes) for each in (batch, partner))
    return share[:, None] * own + (1 - share)[:, None] * other


def _shares(targets: Array, classes: int) -> jax.Array:
    """Return f32[B, classes] of labels i32[B], or of what was mixed before: f32[B, classes] itself."""
    if targets.ndim == 1:
        return jax.nn.one_hot(targets, classes)
    if targets.shape[1:] != (classes,):
        raise ValueError(f"targets {targets.shape} are no labels of {classes} classes; mix one class per example")
    return jnp.asarray(targets, jnp.float32)


def _float(x: Array) -> jax.Array:
    """Return integers as float32, in which 24 bits of them are exact; what floats already stays."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)
