"""Haiku with a hand-written loop."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.jax_loop import Loop, attention
from benchmarks.inputs import Weights
from benchmarks.workloads import Workload, blocks


def build(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Loop:
    """Make the contender."""

    def word(name: str) -> str:
        return f"layer_{name.replace('.', '_')}"

    def dense(name: str) -> hk.Linear:
        kernel = weights[f"{name}.kernel"]
        return hk.Linear(kernel.shape[-1], name=word(name))

    def forward(x: jax.Array) -> jax.Array:
        if work.kind == "mlp":
            return through(x, len(work.sizes) - 1)
        if work.kind == "cnn":
            for i, size in enumerate(work.sizes[:2]):
                x = jax.nn.relu(hk.Conv2D(size, 3, name=f"layer_conv{i}")(x))
                x = hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")
            return through(x.reshape(len(x), -1), 2)
        if work.kind == "resnet":
            x = jax.nn.relu(batch_norm(conv(x, work.sizes[0], 1, "stem"), "norm"))
            for block, before, width, stride in blocks(work):
                y = jax.nn.relu(batch_norm(conv(x, width, stride, f"{block}.conv1"), f"{block}.norm1"))
                y = batch_norm(conv(y, width, 1, f"{block}.conv2"), f"{block}.norm2")
                x = jax.nn.relu(y + jnp.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, width - before)]))
            return dense("head")(x.mean((1, 2)))
        if work.kind == "lstm":
            _, _, width, _ = work.sizes
            x = embedding("embed")[x]
            for i in range(work.depth):
                core = hk.LSTM(width, name=f"lstm{i}")
                x, _ = hk.dynamic_unroll(core, x, core.initial_state(len(x)), time_major=False)
            return dense("head")(x)
        x = embedding("embed")[x] + embedding("positions")
        for i in range(work.depth):
            y = norm(f"{i}.norm1")(x)
            split = (
                dense(f"{i}.{part}")(y).reshape(*y.shape[:2], work.heads, -1) for part in ("query", "key", "value")
            )
            x = x + dense(f"{i}.out")(attention(*split).reshape(x.shape))
            x = x + dense(f"{i}.down")(jax.nn.gelu(dense(f"{i}.up")(norm(f"{i}.norm2")(x))))
        return dense("head")(norm("norm")(x))

    def through(x: jax.Array, count: int) -> jax.Array:
        for i in range(count):
            x = dense(f"dense{i}")(x if i == 0 else jax.nn.relu(x))
        return x

    def embedding(name: str) -> jax.Array:
        return hk.get_parameter(name, weights[name].shape, init=jnp.zeros)

    def conv(x: jax.Array, channels: int, stride: int, name: str) -> jax.Array:
        layer = hk.Conv2D(channels, 3, stride, padding=((1, 1), (1, 1)), with_bias=False, name=word(name))
        return layer(x)

    def batch_norm(x: jax.Array, name: str) -> jax.Array:
        return hk.BatchNorm(True, True, 0.9, name=word(name))(x, is_training=True)

    def norm(name: str) -> hk.LayerNorm:
        return hk.LayerNorm(-1, True, True, eps=1e-5, name=word(name))

    params: dict[str, dict[str, np.ndarray]] = {}
    for name, value in weights.items():
        room, _, last = name.rpartition(".")
        if not room:
            params.setdefault("~", {})[name] = value
        elif not room.startswith("lstm"):
            place = {"kernel": "w", "bias": "offset" if "norm" in room else "b", "scale": "scale"}[last]
            params.setdefault(word(room), {})[place] = value
    for i in range(work.depth if work.kind == "lstm" else 0):
        # Haiku's gates lie i g f o, and it adds one to the forget gate.
        parts = [
            [np.split(weights[f"lstm{i}.{part}"], 4, -1)[k] for k in (0, 2, 1, 3)]
            for part in ("kernel", "recurrent", "bias")
        ]
        kernel, recurrent, bias = (np.concatenate(part, -1) for part in parts)
        bias = bias - np.repeat(np.array([0, 0, 1, 0], np.float32), work.sizes[2])
        params[f"lstm{i}/linear"] = {"w": np.concatenate([kernel, recurrent]), "b": bias}
    if work.kind == "resnet":  # Haiku's scale and offset are of the shape that they are broadcast to
        params = {
            room: {place: v.reshape(1, 1, 1, -1) if place in ("scale", "offset") else v for place, v in one.items()}
            for room, one in params.items()
        }
    model = hk.without_apply_rng(hk.transform_with_state(forward))
    statistics = jax.jit(lambda: model.init(jax.random.key(0), x[:2])[1])()
    return Loop(work, model.apply, params, x, y, statistics)
