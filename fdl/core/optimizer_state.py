"""Optimizer states that the train step reads: an exponential moving average of the weights, a dynamic loss scale."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from fdl.core.types import Array, PyTree

# A larger loss scale rescues no float16 gradient of any significance, and unbounded doubling ends at infinity.
MAX_SCALE = 2.0**24


class EmaState(NamedTuple):
    """The state of `ema`: the moving average of the weights, updates so far, the inner optimizer's state."""

    average: PyTree
    updates: Array
    inner: optax.OptState


def ema(optimizer: optax.GradientTransformation, decay: float = 0.999) -> optax.GradientTransformation:
    """Wrap an optimizer with an exponential moving average of the weights; only evaluation uses the average.

    average <- d average + (1 - d) weights with d = min(decay, (1 + t) / (10 + t)): the initial weights fade quickly.
    Paper: Polyak and Juditsky, 1992. Batch statistics are not averaged. It must be the outermost transformation.
    """

    def init(params: PyTree) -> EmaState:
        return EmaState(jax.tree.map(jnp.asarray, params), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: PyTree, state: EmaState, params: PyTree = None) -> tuple[PyTree, EmaState]:
        updates, inner = optimizer.update(grads, state.inner, params)
        d = jnp.minimum(decay, (1 + state.updates) / (10 + state.updates))
        new = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda old, now: old + (1 - d).astype(old.dtype) * (now - old), state.average, new)
        return updates, EmaState(average, state.updates + 1, inner)

    return optax.GradientTransformation(init, update)


def evaluated(params: PyTree, opt_state: optax.OptState) -> PyTree:
    """Return the weights for evaluation: the average if the optimizer keeps one, else the parameters."""
    return opt_state.average if isinstance(opt_state, EmaState) else params


class LossScaleState(NamedTuple):
    """The state of `dynamic_loss_scale`: the scale, updates since it last changed, the inner optimizer's state."""

    scale: Array
    since: Array
    inner: optax.OptState


def dynamic_loss_scale(
    optimizer: optax.GradientTransformation, *, start: float = 2.0**15, patience: int = 2000
) -> optax.GradientTransformation:
    """Scale the loss so that float16 gradients do not underflow; the scale doubles after `patience` finite updates.

    A non-finite update halves the scale and is skipped. Scales are powers of two up to 2^24, so finite gradients are
    bit-identical to unscaled ones. Paper: Micikevicius et al., 2018.
    """

    def init(params: PyTree) -> LossScaleState:
        return LossScaleState(jnp.float32(start), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: PyTree, state: LossScaleState, params: PyTree = None) -> tuple[PyTree, LossScaleState]:
        grads = jax.tree.map(lambda g: g / state.scale.astype(g.dtype), grads)
        finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all()
        updates, inner = optimizer.update(grads, state.inner, params)
        updates = jax.tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), updates)
        inner = jax.tree.map(lambda new, old: jnp.where(finite, new, old), inner, state.inner)
        grown = jnp.where(state.since + 1 >= patience, jnp.minimum(2 * state.scale, MAX_SCALE), state.scale)
        since = jnp.where(finite & (state.since + 1 < patience), state.since + 1, 0)
        return updates, LossScaleState(jnp.where(finite, grown, jnp.maximum(state.scale / 2, 1)), since, inner)

    return optax.GradientTransformation(init, update)


def loss_scale(opt_state: optax.OptState) -> Array | float:
    """Return the factor applied to the loss before differentiation: that of `dynamic_loss_scale`, else 1."""
    if isinstance(opt_state, EmaState):
        opt_state = opt_state.inner
    return opt_state.scale if isinstance(opt_state, LossScaleState) else 1.0
