"""Flax linen and a hand-written loop."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_loop import Loop
from benchmarks.inputs import Weights
from benchmarks.workloads import Workload, blocks


class MLP(nn.Module):
    """Dense layers."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        for size in self.sizes[:-1]:
            x = nn.relu(nn.Dense(size)(x))
        return nn.Dense(self.sizes[-1])(x)


class LeNet(nn.Module):
    """Two stages and two dense layers."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        for size in self.sizes[:2]:
            x = nn.max_pool(nn.relu(nn.Conv(size, (3, 3))(x)), (2, 2), (2, 2))
        return MLP(self.sizes[2:])(x.reshape(len(x), -1))


class ResNet(nn.Module):
    """Blocks of two convolutions, as in the paper; shortcuts that change shape are thinned and padded with zeros."""

    work: Workload

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""

        def norm(x: jax.Array, name: str) -> jax.Array:
            return nn.BatchNorm(use_running_average=False, momentum=0.9, name=name)(x)

        def conv(x: jax.Array, channels: int, stride: int, name: str) -> jax.Array:
            return nn.Conv(channels, (3, 3), stride, padding=1, use_bias=False, name=name)(x)

        x = nn.relu(norm(conv(x, self.work.sizes[0], 1, "stem"), "norm"))
        for block, before, width, stride in blocks(self.work):
            y = nn.relu(norm(conv(x, width, stride, f"{block}.conv1"), f"{block}.norm1"))
            y = norm(conv(y, width, 1, f"{block}.conv2"), f"{block}.norm2")
            x = nn.relu(y + jnp.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, width - before)]))
        return nn.Dense(self.work.sizes[-1], name="head")(x.mean((1, 2)))


class LSTM(nn.Module):
    """Embedding, layers of LSTM, head."""

    work: Workload

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        vocabulary, embedding, width, _ = self.work.sizes
        x = nn.Embed(vocabulary, embedding)(x)
        for i in range(self.work.depth):
            x = nn.RNN(nn.OptimizedLSTMCell(width, name=f"cell{i}"))(x)
        return nn.Dense(vocabulary)(x)


class GPT(nn.Module):
    """Pre-norm blocks."""

    work: Workload

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        vocabulary, width, hidden, time = self.work.sizes
        x = nn.Embed(vocabulary, width)(x) + nn.Embed(time, width)(jnp.arange(time))
        mask = nn.make_causal_mask(jnp.zeros((1, time)))
        for i in range(self.work.depth):
            attend = nn.MultiHeadDotProductAttention(self.work.heads, name=f"attention{i}")
            x = x + attend(nn.LayerNorm(epsilon=1e-5, name=f"norm1_{i}")(x), mask=mask)
            y = nn.gelu(nn.Dense(hidden, name=f"up{i}")(nn.LayerNorm(epsilon=1e-5, name=f"norm2_{i}")(x)))
            x = x + nn.Dense(width, name=f"down{i}")(y)
        return nn.Dense(vocabulary)(nn.LayerNorm(epsilon=1e-5)(x))


def build(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Loop:
    """Make the contender."""

    def pair(name: str, *shape: int) -> dict[str, np.ndarray]:
        kernel = weights[f"{name}.kernel"]
        return {"kernel": kernel.reshape(shape) if shape else kernel, "bias": weights[f"{name}.bias"]}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": weights[f"{name}.scale"], "bias": weights[f"{name}.bias"]}

    params: dict[str, Any]
    model: nn.Module
    if work.kind == "mlp":
        model = MLP(work.sizes[1:])
        params = {f"Dense_{i}": pair(f"dense{i}") for i in range(len(work.sizes) - 1)}
    elif work.kind == "cnn":
        model = LeNet(work.sizes)
        params = {f"Conv_{i}": pair(f"conv{i}") for i in range(2)}
        params["MLP_0"] = {f"Dense_{i}": pair(f"dense{i}") for i in range(2)}
    elif work.kind == "resnet":
        model, params = ResNet(work), {}
        for name, value in weights.items():
            room, _, last = name.rpartition(".")
            params.setdefault(room, {})[last] = value
        statistics = {
            room: {"mean": np.zeros_like(norm["bias"]), "var": np.ones_like(norm["bias"])}
            for room, norm in params.items()
            if "scale" in norm
        }

        def forward(params: Any, statistics: Any, x: jax.Array) -> tuple[jax.Array, Any]:
            outputs, changed = model.apply({"params": params, "batch_stats": statistics}, x, mutable=["batch_stats"])
            return outputs, changed["batch_stats"]

        return Loop(work, forward, params, x, y, statistics)
    elif work.kind == "lstm":
        model = LSTM(work)
        params = {"Embed_0": {"embedding": weights["embed"]}, "Dense_0": pair("head")}
        for i in range(work.depth):
            kernels, recurrents, biases = (
                np.split(weights[f"lstm{i}.{part}"], 4, -1) for part in ("kernel", "recurrent", "bias")
            )
            cell = params[f"cell{i}"] = {}
            for gate, a, b, c in zip("ifgo", kernels, recurrents, biases, strict=True):
                cell[f"i{gate}"], cell[f"h{gate}"] = {"kernel": a}, {"kernel": b, "bias": c}
    else:
        model = GPT(work)
        heads, width, each = work.heads, work.sizes[1], work.sizes[1] // work.heads
        params = {"Embed_0": {"embedding": weights["embed"]}, "Embed_1": {"embedding": weights["positions"]}}
        params |= {"LayerNorm_0": norm("norm"), "Dense_0": pair("head")}
        for i in range(work.depth):
            params[f"norm1_{i}"], params[f"norm2_{i}"] = norm(f"{i}.norm1"), norm(f"{i}.norm2")
            params[f"up{i}"], params[f"down{i}"] = pair(f"{i}.up"), pair(f"{i}.down")
            attend = {part: pair(f"{i}.{part}", width, heads, each) for part in ("query", "key", "value")}
            for part in attend.values():
                part["bias"] = part["bias"].reshape(heads, each)
            params[f"attention{i}"] = attend | {"out": pair(f"{i}.out", heads, each, width)}
    return Loop(work, lambda p, s, x: (model.apply({"params": p}, x), s), params, x, y)
