"""Residual networks. Papers: He et al., 2015 and 2016."""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array
from fdl.models.kernels.materialize import materialize
from fdl.models.layers import BatchNorm, Conv, Dtype, max_pool

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ResNet(nn.Module):
    """Classify images by stages of residual blocks; each later stage halves the resolution and doubles the channels.

    stages:         number of blocks of each stage.
    width:          channels of the first stage, a quarter of a bottleneck block's output.
    bottleneck:     blocks of three convolutions 1-3-1 with the stride in the middle one (v1.5); else two 3-wide ones.
    stem:           "large": a 7-wide convolution of stride 2 and max-pooling; "small": a 3-wide one for small images.
    shortcut:       where shapes differ, a learned 1-wide convolution ("project") or zero-padded channels ("pad").
    pre_activation: normalise and activate before each convolution, not after the sum (v2).
    """

    outputs: int
    stages: tuple[int, ...]
    width: int = 64
    bottleneck: bool = False
    stem: Literal["large", "small"] = "large"
    shortcut: Literal["project", "pad"] = "project"
    pre_activation: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: Array, *, weights: Array | None = None, train: bool = False) -> jax.Array:
        """Return f32[B, outputs] from `inputs: f32[B, height, width, C]`."""
        norm = functools.partial(BatchNorm(dtype=self.dtype, name="norm"), weights=weights, train=train)
        x = jnp.asarray(inputs)
        if self.stem == "large":
            x = Conv(self.width, 7, 2, 3, bias=False, dtype=self.dtype, name="stem")(x)
        else:
            x = Conv(self.width, 3, bias=False, dtype=self.dtype, name="stem")(x)
        if not self.pre_activation:
            x = nn.relu(norm(x))
        if self.stem == "large":
            x = max_pool(x, 3, 2, 1)
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                x = Residual(
                    self.width * 2**i,
                    stride=2 if i > 0 and j == 0 else 1,
                    bottleneck=self.bottleneck,
                    shortcut=self.shortcut,
                    pre_activation=self.pre_activation,
                    dtype=self.dtype,
                    name=f"stage{i + 1}_{j}",
                )(x, weights=weights, train=train)
        if self.pre_activation:
            x = nn.relu(norm(x))
        return nn.Dense(self.outputs, name="head")(x.mean(axis=tuple(range(1, x.ndim - 1))))


class Residual(nn.Module):
    """A residual block of two or three convolutions; the fields are those of `ResNet`."""

    width: int
    stride: int = 1
    bottleneck: bool = False
    shortcut: Literal["project", "pad"] = "project"
    pre_activation: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, weights: Array | None = None, train: bool = False) -> jax.Array:
        """Return array[B, height / stride, width / stride, channels] from `x: array[B, height, width, C]`."""
        # channels, kernel, stride
        layers = [(self.width, 3, self.stride), (self.width, 3, 1)]
        if self.bottleneck:
            layers = [(self.width, 1, 1), (self.width, 3, self.stride), (4 * self.width, 1, 1)]
        channels = layers[-1][0]

        def conv(y: jax.Array, channels: int, kernel: int, stride: int, name: str) -> jax.Array:
            return Conv(channels, kernel, stride, kernel // 2, bias=False, dtype=self.dtype, name=name)(y)

        def norm(y: jax.Array, name: str, scale_init: nn.initializers.Initializer = nn.initializers.ones) -> jax.Array:
            layer = BatchNorm(dtype=self.dtype, scale_init=scale_init, name=name)
            return layer(y, weights=weights, train=train)

        def skip(y: jax.Array) -> jax.Array:
            if y.shape[-1] == channels and self.stride == 1:
                return y
            if self.shortcut == "pad":
                strided = y[(slice(None), *[slice(None, None, self.stride)] * (y.ndim - 2))]
                return jnp.pad(strided, [(0, 0)] * (y.ndim - 1) + [(0, channels - y.shape[-1])])
            y = conv(y, channels, 1, self.stride, "project")
            return y if self.pre_activation else norm(y, "project_norm")

        y = x
        if self.pre_activation:
            for i, layer in enumerate(layers, 1):
                y = nn.relu(norm(y, f"norm{i}"))
                if i == 1:
                    x = skip(x if self.shortcut == "pad" or x.shape[-1] == channels else y)
                y = conv(y, *layer, f"conv{i}")
            return materialize(x + y)
        for i, layer in enumerate(layers, 1):
            last = i == len(layers)
            # The last scale starts at zero: each block starts as the identity, which helps depth (Goyal et al., 2017).
            y = norm(conv(y, *layer, f"conv{i}"), f"norm{i}", nn.initializers.zeros if last else nn.initializers.ones)
            y = y if last else nn.relu(y)
        return materialize(nn.relu(skip(x) + y))


def resnet(depth: int = 50, outputs: int = 1000, *, pre_activation: bool = False, dtype: Dtype | None = None) -> ResNet:
    """Make an ImageNet ResNet of a published depth: 18, 34, 50, 101 or 152."""
    if depth not in STAGES:
        raise UserError(f"ResNet has no depth {depth}; choose {', '.join(map(str, STAGES))}")
    return ResNet(outputs, STAGES[depth], bottleneck=depth >= 50, pre_activation=pre_activation, dtype=dtype)


def cifar_resnet(
    depth: int = 20, outputs: int = 10, *, pre_activation: bool = False, dtype: Dtype | None = None
) -> ResNet:
    """Make a CIFAR ResNet of a published depth, 6n + 2: 20, 32, 44, 56 or 110."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UserError(f"a small-image ResNet has 6n + 2 layers, not {depth}; try {max(1, blocks) * 6 + 2}")
    return ResNet(
        outputs,
        (blocks,) * 3,
        width=16,
        stem="small",
        shortcut="pad",
        pre_activation=pre_activation,
        dtype=dtype,
    )
