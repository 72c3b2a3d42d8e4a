"""Equinox with a hand-written loop: models of one example, mapped over the batch."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_loop import Loop, attention
from benchmarks.inputs import Weights
from benchmarks.workloads import Workload, blocks

KEY = jax.random.key(0)


def linear(weights: Weights, name: str) -> eqx.nn.Linear:
    """Return a layer with the given weights."""
    kernel = weights[f"{name}.kernel"]
    layer = eqx.nn.Linear(*kernel.shape, key=KEY)
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (kernel.T, weights[f"{name}.bias"]))


def mlp(weights: Weights, count: int) -> list[eqx.nn.Linear]:
    """Return dense layers."""
    return [linear(weights, f"dense{i}") for i in range(count)]


def through(layers: list[eqx.nn.Linear], x: jax.Array) -> jax.Array:
    """Return logits of one example."""
    for layer in layers[:-1]:
        x = jax.nn.relu(layer(x))
    return layers[-1](x)


def build(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Loop:
    """Make the contender."""
    params: Any
    if work.kind == "mlp":
        params = mlp(weights, len(work.sizes) - 1)
        one = through
    elif work.kind == "cnn":
        convs = []
        for i in range(2):
            kernel = weights[f"conv{i}.kernel"].transpose(3, 2, 0, 1)
            conv = eqx.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, key=KEY)
            bias = weights[f"conv{i}.bias"].reshape(-1, 1, 1)
            convs.append(eqx.tree_at(lambda m: (m.weight, m.bias), conv, (kernel, bias)))
        params = (convs, mlp(weights, 2))
        pool = eqx.nn.MaxPool2d(2, 2)

        def one(params: Any, x: jax.Array) -> jax.Array:
            x = x.transpose(2, 0, 1)
            for conv in params[0]:
                x = pool(jax.nn.relu(conv(x)))
            return through(params[1], x.transpose(1, 2, 0).ravel())

    elif work.kind == "resnet":
        return resnet(work, weights, x, y)
    elif work.kind == "lstm":
        _, embedding, width, _ = work.sizes
        cells = []
        for i in range(work.depth):
            cell = eqx.nn.LSTMCell(width if i else embedding, width, key=KEY)
            values = tuple(weights[f"lstm{i}.{part}"].T for part in ("kernel", "recurrent", "bias"))
            cells.append(eqx.tree_at(lambda m: (m.weight_ih, m.weight_hh, m.bias), cell, values))
        params = (weights["embed"], cells, linear(weights, "head"))

        def one(params: Any, x: jax.Array) -> jax.Array:
            x = params[0][x]
            start = (jnp.zeros(width), jnp.zeros(width))
            for cell in params[1]:

                def step(carry: Any, now: jax.Array, cell: eqx.nn.LSTMCell = cell) -> Any:
                    carry = cell(now, carry)
                    return carry, carry[0]

                x = jax.lax.scan(step, start, x)[1]
            return jax.vmap(params[2])(x)

    else:
        width = work.sizes[1]

        def norm(name: str) -> eqx.nn.LayerNorm:
            values = (weights[f"{name}.scale"], weights[f"{name}.bias"])
            return eqx.tree_at(lambda m: (m.weight, m.bias), eqx.nn.LayerNorm(width), values)

        parts = ("query", "key", "value", "out", "up", "down")
        blocks = [
            {part: linear(weights, f"{i}.{part}") for part in parts}
            | {part: norm(f"{i}.{part}") for part in ("norm1", "norm2")}
            for i in range(work.depth)
        ]
        params = (weights["embed"], weights["positions"], blocks, norm("norm"), linear(weights, "head"))

        def one(params: Any, x: jax.Array) -> jax.Array:
            embed, positions, blocks, last, head = params
            x = embed[x] + positions
            for block in blocks:
                y = jax.vmap(block["norm1"])(x)
                split = (
                    jax.vmap(block[part])(y).reshape(1, len(y), work.heads, -1) for part in ("query", "key", "value")
                )
                x = x + jax.vmap(block["out"])(attention(*split).reshape(len(y), -1))
                y = jax.nn.gelu(jax.vmap(block["up"])(jax.vmap(block["norm2"])(x)))
                x = x + jax.vmap(block["down"])(y)
            return jax.vmap(head)(jax.vmap(last)(x))

    arrays, static = eqx.partition(params, eqx.is_array_like)
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), eqx.filter(params, eqx.is_inexact_array_like))
    rest = eqx.filter(params, eqx.is_inexact_array_like, inverse=True)
    del static
    return Loop(work, lambda p, s, x: (jax.vmap(lambda e: one(eqx.combine(p, rest), e))(x), s), arrays, x, y)


def resnet(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Loop:
    """Make the contender whose batch normalisation threads a state of its own through the model."""

    def conv(name: str, stride: int = 1) -> eqx.nn.Conv2d:
        kernel = weights[f"{name}.kernel"].transpose(3, 2, 0, 1)
        layer = eqx.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, stride, 1, use_bias=False, key=KEY)
        return eqx.tree_at(lambda m: m.weight, layer, kernel)

    def norm(width: int) -> eqx.nn.BatchNorm:
        return eqx.nn.BatchNorm(width, "batch", momentum=0.9, mode="batch")

    def make() -> Any:
        every = [
            (conv(f"{name}.conv1", stride), norm(width), conv(f"{name}.conv2"), norm(width))
            for name, _, width, stride in blocks(work)
        ]
        return conv("stem"), norm(work.sizes[0]), every, linear(weights, "head")

    def one(net: Any, state: eqx.nn.State, x: jax.Array) -> Any:
        stem, first, every, head = net
        x, state = first(stem(x.transpose(2, 0, 1)), state)
        x = jax.nn.relu(x)
        for (conv1, norm1, conv2, norm2), (_, before, width, stride) in zip(every, blocks(work), strict=True):
            y, state = norm1(conv1(x), state)
            y, state = norm2(conv2(jax.nn.relu(y)), state)
            x = jax.nn.relu(y + jnp.pad(x[:, ::stride, ::stride], [(0, width - before), (0, 0), (0, 0)]))
        return head(x.mean((1, 2))), state

    net, state = eqx.nn.make_with_state(make)()
    arrays, static = eqx.partition(net, eqx.is_inexact_array_like)
    leaves, treedef = jax.tree.flatten(state)

    def forward(arrays: Any, leaves: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        whole, state = eqx.combine(arrays, static), jax.tree.unflatten(treedef, leaves)
        mapped = jax.vmap(one, axis_name="batch", in_axes=(None, None, 0), out_axes=(0, None))
        outputs, state = mapped(whole, state, x)
        return outputs, jax.tree.leaves(state)

    return Loop(work, forward, arrays, x, y, leaves)
