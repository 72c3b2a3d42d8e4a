"""Flax linen and a hand-written loop."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_loop import Loop
from benchmarks.workloads import DEPTH, HEADS, Weights, Workload


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


class LSTM(nn.Module):
    """Embedding, LSTM, head."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        vocabulary, embedding, width, _ = self.sizes
        x = nn.Embed(vocabulary, embedding)(x)
        return nn.Dense(vocabulary)(nn.RNN(nn.OptimizedLSTMCell(width, name="cell"))(x))


class GPT(nn.Module):
    """Pre-norm blocks."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return logits."""
        vocabulary, width, hidden, time = self.sizes
        x = nn.Embed(vocabulary, width)(x) + nn.Embed(time, width)(jnp.arange(time))
        mask = nn.make_causal_mask(jnp.zeros((1, time)))
        for i in range(DEPTH):
            attend = nn.MultiHeadDotProductAttention(HEADS, name=f"attention{i}")
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
    elif work.kind == "lstm":
        model = LSTM(work.sizes)
        cell: dict[str, Any] = {}
        kernels, recurrents, biases = (
            np.split(weights[f"lstm.{part}"], 4, -1) for part in ("kernel", "recurrent", "bias")
        )
        for gate, a, b, c in zip("ifgo", kernels, recurrents, biases, strict=True):
            cell[f"i{gate}"], cell[f"h{gate}"] = {"kernel": a}, {"kernel": b, "bias": c}
        params = {"Embed_0": {"embedding": weights["embed"]}, "Dense_0": pair("head"), "cell": cell}
    else:
        model = GPT(work.sizes)
        width, each = work.sizes[1], work.sizes[1] // HEADS
        params = {"Embed_0": {"embedding": weights["embed"]}, "Embed_1": {"embedding": weights["positions"]}}
        params |= {"LayerNorm_0": norm("norm"), "Dense_0": pair("head")}
        for i in range(DEPTH):
            params[f"norm1_{i}"], params[f"norm2_{i}"] = norm(f"{i}.norm1"), norm(f"{i}.norm2")
            params[f"up{i}"], params[f"down{i}"] = pair(f"{i}.up"), pair(f"{i}.down")
            attend = {part: pair(f"{i}.{part}", width, HEADS, each) for part in ("query", "key", "value")}
            for part in attend.values():
                part["bias"] = part["bias"].reshape(HEADS, each)
            params[f"attention{i}"] = attend | {"out": pair(f"{i}.out", HEADS, each, width)}
    return Loop(work, lambda p, x: model.apply({"params": p}, x), params, x, y)
