"""The optimizers and schedules everyone repeats, in plain Optax.

Each returns an ordinary `optax.GradientTransformation` or `optax.Schedule`, so anything of Optax may stand in its place
or be chained to it. Numbers may be traced arrays (`optax.inject_hyperparams(adamw)(…)`): nothing here branches on one.
"""

import jax
import optax

from fdl.types import PyTree


def warmup_cosine(peak: float, steps: int, *, warmup: float = 0.1, end: float = 0.0) -> optax.Schedule:
    """Make a learning rate that rises linearly to `peak` and falls along a half cosine to `end * peak`.

    steps: updates of the whole run; warmup: the share of them that rise. The first update already moves.
    """
    rise = max(1, round(warmup * steps))
    up = optax.linear_schedule(peak / rise, peak, rise)
    down = optax.cosine_decay_schedule(peak, max(1, steps - rise), alpha=end)
    return optax.join_schedules([up, down], [rise])


def decay_mask(params: PyTree) -> PyTree:
    """Say for each parameter whether weight decay applies: to kernels, not to biases, norms and vectors."""

    def decays(path: tuple, leaf: jax.Array) -> bool:
        return leaf.ndim > 1 and jax.tree_util.keystr(path[-1:], simple=True) not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decays, params)


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> optax.GradientTransformation:
    """Make AdamW (Loshchilov & Hutter, 2019) with `decay_mask` and the gradient clipped to the global norm `clip`."""
    adam = optax.adamw(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay, mask=decay_mask)
    return optax.chain(_clip(clip), adam)


def sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """Make SGD with Nesterov momentum; weight decay joins the gradient (L2, with `decay_mask`), after the clip."""
    decay = optax.add_decayed_weights(weight_decay, decay_mask)
    return optax.chain(_clip(clip), decay, optax.sgd(learning_rate, momentum, nesterov=True))


def _clip(norm: float | None) -> optax.GradientTransformation:
    return optax.identity() if norm is None else optax.clip_by_global_norm(norm)
