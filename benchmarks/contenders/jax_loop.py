"""What a careful user writes with a JAX library: one jitted step with donated state, called in a loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.workloads import LEARNING_RATE, Shuffle, Workload

Forward = Callable[[Any, jax.Array], jax.Array]


class Loop:
    """forward: `(params, inputs) -> outputs`, pure."""

    def __init__(self, work: Workload, forward: Forward, params: Any, x: np.ndarray, y: np.ndarray):
        self.x, self.y, self.shuffle = x, y, Shuffle(work.batch)
        optimizer = optax.adam(LEARNING_RATE)

        def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
            outputs = forward(params, x)
            if work.sizes[-1] == 1:
                return optax.sigmoid_binary_cross_entropy(outputs[:, 0], y).mean()
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()

        def step(params: Any, opt_state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any, jax.Array]:
            value, grads = jax.value_and_grad(loss)(params, x, y)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, value

        self.params = jax.tree.map(jnp.asarray, params)
        self.opt_state = optimizer.init(self.params)
        self.step = jax.jit(step, donate_argnums=(0, 1))

    def losses(self, order: np.ndarray) -> list[float]:
        """Train on these rows and return the loss of each step."""
        return [float(self._one(rows)) for rows in order]

    def run(self, steps: int) -> None:
        """Train so many steps and wait for the last."""
        for _ in range(steps):
            value = self._one(self.shuffle())
        jax.block_until_ready(value)

    def _one(self, rows: np.ndarray) -> jax.Array:
        self.params, self.opt_state, value = self.step(self.params, self.opt_state, self.x[rows], self.y[rows])
        return value


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return causal attention of [B, T, H, K] as jax.nn has it."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)
