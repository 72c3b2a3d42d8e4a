"""Keras 3 on JAX through `fit`, as its guide has it; also with many steps per execution."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from benchmarks.inputs import Weights
from benchmarks.workloads import LEARNING_RATE, N, Workload, blocks


def model(work: Workload) -> keras.Model:
    """Return the network."""
    layers = keras.layers
    if work.kind == "mlp":
        dense = [layers.Dense(size, "relu") for size in work.sizes[1:-1]]
        return keras.Sequential([layers.Input(work.sizes[:1]), *dense, layers.Dense(work.sizes[-1])])
    if work.kind == "cnn":
        first, second, hidden, classes = work.sizes
        return keras.Sequential([
            layers.Input((28, 28, 1)),
            layers.Conv2D(first, 3, padding="same", activation="relu"), layers.MaxPool2D(),
            layers.Conv2D(second, 3, padding="same", activation="relu"), layers.MaxPool2D(),
            layers.Flatten(), layers.Dense(hidden, "relu"), layers.Dense(classes),
        ])  # fmt: skip
    if work.kind == "lstm":
        vocabulary, embedding, width, time = work.sizes
        return keras.Sequential([
            layers.Input((time,), dtype="int32"), layers.Embedding(vocabulary, embedding),
            *(layers.LSTM(width, return_sequences=True) for _ in range(work.depth)), layers.Dense(vocabulary),
        ])  # fmt: skip
    if work.kind == "resnet":
        return resnet(work)
    vocabulary, width, hidden, time = work.sizes
    tokens = layers.Input((time,), dtype="int32")
    places = layers.Embedding(time, width)(keras.ops.zeros_like(tokens) + keras.ops.arange(time))
    x = layers.Embedding(vocabulary, width)(tokens) + places
    for _ in range(work.depth):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = x + layers.MultiHeadAttention(work.heads, width // work.heads)(y, y, use_causal_mask=True)
        y = layers.Dense(hidden)(layers.LayerNormalization(epsilon=1e-5)(x))
        x = x + layers.Dense(width)(keras.ops.gelu(y, approximate=True))
    return keras.Model(tokens, layers.Dense(vocabulary)(layers.LayerNormalization(epsilon=1e-5)(x)))


def resnet(work: Workload) -> keras.Model:
    """Return blocks of two convolutions; layers are named as their weights are."""
    layers = keras.layers

    def conv(x: keras.KerasTensor, channels: int, stride: int, name: str) -> keras.KerasTensor:
        x = layers.ZeroPadding2D(1)(x) if stride > 1 else x
        padding = "valid" if stride > 1 else "same"
        return layers.Conv2D(channels, 3, stride, padding, use_bias=False, name=name)(x)

    def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)

    inputs = layers.Input((32, 32, 3))
    x = layers.ReLU()(norm(conv(inputs, work.sizes[0], 1, "stem"), "norm"))
    for block, before, width, stride in blocks(work):
        y = layers.ReLU()(norm(conv(x, width, stride, f"{block}.conv1"), f"{block}.norm1"))
        y = norm(conv(y, width, 1, f"{block}.conv2"), f"{block}.norm2")
        if stride > 1:
            x = keras.ops.pad(x[:, ::stride, ::stride], [(0, 0), (0, 0), (0, 0), (0, width - before)])
        x = layers.ReLU()(x + y)
    return keras.Model(inputs, layers.Dense(work.sizes[-1], name="head")(layers.GlobalAveragePooling2D()(x)))


def set_weights(net: keras.Model, work: Workload, weights: Weights) -> None:
    """Give the network the common weights, in the order in which its layers were made."""
    names = list(weights)
    if work.kind == "gpt":  # tokens come after places where both are embeddings; layers are matched by kind
        places, tokens = [layer for layer in net.layers if isinstance(layer, keras.layers.Embedding)][:2]
        if places.input_dim != work.sizes[3] or places is net.layers[1]:
            places, tokens = sorted((places, tokens), key=lambda layer: layer.input_dim)
        places.set_weights([weights["positions"]])
        tokens.set_weights([weights["embed"]])
        norms = [layer for layer in net.layers if isinstance(layer, keras.layers.LayerNormalization)]
        dense = [layer for layer in net.layers if isinstance(layer, keras.layers.Dense)]
        attend = [layer for layer in net.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
        both = [f"{i}.{part}" for i in range(work.depth) for part in ("norm1", "norm2")] + ["norm"]
        for layer, name in zip(norms, both, strict=True):
            layer.set_weights([weights[f"{name}.scale"], weights[f"{name}.bias"]])
        both = [f"{i}.{part}" for i in range(work.depth) for part in ("up", "down")] + ["head"]
        for layer, name in zip(dense, both, strict=True):
            layer.set_weights([weights[f"{name}.kernel"], weights[f"{name}.bias"]])
        for i, layer in enumerate(attend):
            shapes = [w.shape for w in layer.get_weights()]
            flat = [weights[f"{i}.{part}.{w}"] for part in ("query", "key", "value", "out") for w in ("kernel", "bias")]
            layer.set_weights([w.reshape(shape) for w, shape in zip(flat, shapes, strict=True)])
        return
    if work.kind == "resnet":
        for layer in net.layers:
            for variable in layer.trainable_variables:
                word = {"gamma": "scale", "beta": "bias"}.get(variable.name, variable.name)
                variable.assign(weights[f"{layer.name}.{word}"])
        return
    if work.kind == "lstm":
        parts = [f"lstm{i}.{part}" for i in range(work.depth) for part in ("kernel", "recurrent", "bias")]
        names = ["embed", *parts, "head.kernel", "head.bias"]
    net.set_weights([weights[name] for name in names])


class Fit:
    """`fit` on the array that is in memory."""

    def __init__(self, work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray, steps_per_execution: int):
        self.work, self.x, self.y = work, x, y
        self.net = model(work)
        set_weights(self.net, work, weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if work.sizes[-1] == 1:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        self.net.compile(
            keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8), loss, steps_per_execution=steps_per_execution
        )

    def losses(self, order: np.ndarray) -> list[float]:
        """Train on these rows and return the loss of each step."""
        return [float(self.net.train_on_batch(self.x[rows], self.y[rows])) for rows in order]

    def run(self, steps: int) -> None:
        """Fit so many steps of shuffled batches."""
        while steps > 0:
            some = min(steps, N // self.work.batch)
            rows = slice(0, some * self.work.batch)
            self.net.fit(self.x[rows], self.y[rows], batch_size=self.work.batch, shuffle=True, verbose=0)
            steps -= some
