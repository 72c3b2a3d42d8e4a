"""Haiku with a hand-written loop."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_loop import Loop, attention
from benchmarks.workloads import DEPTH, HEADS, Weights, Workload


def build(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Loop:
    """Make the contender."""

    def dense(name: str) -> hk.Linear:
        kernel = weights[f"{name}.kernel"]
        return hk.Linear(kernel.shape[-1], name=f"layer_{name.replace('.', '_')}")

    def forward(x: jax.Array) -> jax.Array:
        if work.kind == "mlp":
            return through(x, len(work.sizes) - 1)
        if work.kind == "cnn":
            for i, size in enumerate(work.sizes[:2]):
                x = jax.nn.relu(hk.Conv2D(size, 3, name=f"layer_conv{i}")(x))
                x = hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")
            return through(x.reshape(len(x), -1), 2)
        if work.kind == "lstm":
            _, _, width, _ = work.sizes
            x = embedding("embed")[x]
            core = hk.LSTM(width, name="lstm")
            states, _ = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)
            return dense("head")(states)
        x = embedding("embed")[x] + embedding("positions")
        for i in range(DEPTH):
            y = norm(f"{i}.norm1")(x)
            split = (dense(f"{i}.{part}")(y).reshape(*y.shape[:2], HEADS, -1) for part in ("query", "key", "value"))
            x = x + dense(f"{i}.out")(attention(*split).reshape(x.shape))
            x = x + dense(f"{i}.down")(jax.nn.gelu(dense(f"{i}.up")(norm(f"{i}.norm2")(x))))
        return dense("head")(norm("norm")(x))

    def through(x: jax.Array, count: int) -> jax.Array:
        for i in range(count):
            x = dense(f"dense{i}")(x if i == 0 else jax.nn.relu(x))
        return x

    def embedding(name: str) -> jax.Array:
        return hk.get_parameter(name, weights[name].shape, init=jnp.zeros)

    def norm(name: str) -> hk.LayerNorm:
        return hk.LayerNorm(-1, True, True, eps=1e-5, name=f"layer_{name.replace('.', '_')}")

    params: dict[str, dict[str, np.ndarray]] = {}
    for name, value in weights.items():
        room, _, last = name.rpartition(".")
        if not room:
            params.setdefault("~", {})[name] = value
        elif room == "lstm":
            continue
        else:
            word = {"kernel": "w", "bias": "offset" if "norm" in room else "b", "scale": "scale"}[last]
            params.setdefault(f"layer_{room.replace('.', '_')}", {})[word] = value
    if work.kind == "lstm":
        # Haiku's gates lie i g f o, and it adds one to the forget gate.
        parts = [
            [np.split(weights[f"lstm.{part}"], 4, -1)[k] for k in (0, 2, 1, 3)]
            for part in ("kernel", "recurrent", "bias")
        ]
        kernel, recurrent, bias = (np.concatenate(part, -1) for part in parts)
        width = work.sizes[2]
        bias = bias - np.repeat(np.array([0, 0, 1, 0], np.float32), width)
        params["lstm/linear"] = {"w": np.concatenate([kernel, recurrent]), "b": bias}
    model = hk.without_apply_rng(hk.transform(forward))
    return Loop(work, model.apply, params, x, y)
