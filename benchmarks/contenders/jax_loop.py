"""What a careful user writes with a JAX library: one jitted step with donated state, called in a loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.inputs import Shuffle
from benchmarks.workloads import LEARNING_RATE, Workload

Forward = Callable[[Any, Any, jax.Array], tuple[jax.Array, Any]]


class Loop:
    """forward: `(params, statistics, inputs) -> (outputs, statistics)`, pure."""

    def __init__(
        self, work: Workload, forward: Forward, params: Any, x: np.ndarray, y: np.ndarray, statistics: Any = None
    ):
        self.x, self.y, self.shuffle = x, y, Shuffle(work.batch)
        optimizer = optax.adam(LEARNING_RATE)

        def loss(params: Any, statistics: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
            outputs, statistics = forward(params, statistics, x)
            if work.sizes[-1] == 1:
                return optax.sigmoid_binary_cross_entropy(outputs[:, 0], y).mean(), statistics
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean(), statistics

        def step(state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, jax.Array]:
            params, statistics, opt_state = state
            (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(params, statistics, x, y)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), statistics, opt_state), value

        params, statistics = jax.tree.map(jnp.asarray, (params, statistics))
        self.state = (params, statistics, optimizer.init(params))
        self.step = jax.jit(step, donate_argnums=0)

    def losses(self, order: np.ndarray) -> list[float]:
        """Train on these rows and return the loss of each step."""
        return [float(self._one(rows)) for rows in order]

    def run(self, steps: int) -> None:
        """Train so many steps and wait for the last."""
        for _ in range(steps):
            value = self._one(self.shuffle())
        jax.block_until_ready(value)

    def _one(self, rows: np.ndarray) -> jax.Array:
        self.state, value = self.step(self.state, self.x[rows], self.y[rows])
        return value


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return causal attention of [B, T, H, K] as jax.nn has it."""
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)
