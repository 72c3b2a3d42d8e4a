"""What fdl's optimizer wrappers keep in the optimizer's state, found wherever they are nested.

`optax.chain`, `optax.partition`, masks and injected hyper-parameters all bury the state of what they hold. A wrapper
that acted alone would see what those around it left: gradients that are still scaled, weights before the last change.
So a wrapper here only marks the state, the training step asks these functions, and every nesting computes the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fdl.core.errors import UserError
from fdl.core.recorded import recorded
from fdl.core.types import Array, PyTree

MAX_SCALE, MIN_SCALE = 2.0**24, 2.0**-24  # of the mean loss; beyond them no float16 gradient is lifted or saved


class EmaState(NamedTuple):
    """The state of `ema`: the moving average of the weights, updates so far, its decay, the inner state.

    average: like the parameters that the optimizer updates; `optax.MaskedNode` in the place of all others.
    """

    average: PyTree
    updates: Array
    decay: Array
    inner: optax.OptState


class LossScaleState(NamedTuple):
    """The state of `dynamic_loss_scale`: the scale of the mean loss, updates since it last changed, the inner state."""

    scale: Array
    since: Array
    inner: optax.OptState


class FrozenState(NamedTuple):
    """The state of what keeps a group of parameters as it is: nothing, under the group's name."""


@recorded
def ema(optimizer: optax.GradientTransformation, decay: float = 0.999) -> optax.GradientTransformation:
    """Keep a moving average of the weights beside any optimizer: evaluation takes it, training is as without.

    average <- d average + (1 - d) weights with d = min(decay, (1 + t) / (10 + t)), so that the first weights fade soon.
    Paper: Polyak and Juditsky, 1992. Batch statistics are not averaged. `steps.train_step` moves the average, to the
    weights that it has arrived at, whatever stands around this.
    """

    def init(params: PyTree) -> EmaState:
        first = jax.tree.map(jnp.asarray, params)
        return EmaState(first, jnp.zeros((), jnp.int32), jnp.float32(decay), optimizer.init(params))

    def update(grads: PyTree, state: EmaState, params: PyTree = None) -> tuple[PyTree, EmaState]:
        updates, inner = optimizer.update(grads, state.inner, params)
        return updates, EmaState(state.average, state.updates, jnp.float32(decay), inner)

    return optax.GradientTransformation(init, update)


@recorded
def dynamic_loss_scale(
    optimizer: optax.GradientTransformation, *, start: float = 2.0**15, patience: int = 2000
) -> optax.GradientTransformation:
    """Scale the loss so that float16 gradients do not vanish: twice as far after `patience` finite updates in a row.

    `steps.train_step` multiplies the loss of an average example and divides the gradients again before any optimizer
    sees them, wherever this is nested. An update that is not finite is left out and counted: it halves the scale and
    changes nothing else. Scales are powers of two from 2^-24 to 2^24, so that finite gradients are the very same as
    without. Paper: Micikevicius et al., 2018.
    """

    def init(params: PyTree) -> LossScaleState:
        return LossScaleState(jnp.float32(start), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: PyTree, state: LossScaleState, params: PyTree = None) -> tuple[PyTree, LossScaleState]:
        updates, inner = optimizer.update(grads, state.inner, params)
        grows = state.since + 1 >= patience
        scale = jnp.where(grows, jnp.minimum(2 * state.scale, MAX_SCALE), state.scale)
        return updates, LossScaleState(scale, jnp.where(grows, 0, state.since + 1), inner)

    return optax.GradientTransformation(init, update)


def check(opt_state: optax.OptState, params: PyTree) -> None:
    """Raise a ValueError where wrappers of one kind get in each other's way."""
    loss_scale(opt_state)
    counts = jax.tree.map(lambda _: 0, params)
    for state in _states(opt_state, EmaState):
        counts = with_masks(lambda _, count: count + 1, state.average, counts)
    if max(jax.tree.leaves(counts), default=0) > 1:
        raise UserError("two moving averages of the same weights: evaluation takes one; leave out the other")


def loss_scale(opt_state: optax.OptState) -> Array | None:
    """Return the scale f32[] of the mean loss, or None where nothing scales it."""
    scales = [state.scale for state in _states(opt_state, LossScaleState)]
    if len(scales) > 1:
        raise UserError(
            f"{len(scales)} loss scales, and there is one loss; put one around the whole optimizer, not around groups"
        )
    return scales[0] if scales else None


def evaluated(params: PyTree, opt_state: optax.OptState) -> PyTree:
    """Return the weights that evaluation takes: the average where the optimizer keeps one, else the parameters."""
    for state in _states(opt_state, EmaState):
        params = with_masks(lambda average, _: average, state.average, params)
    return params


def has_ema(opt_state: optax.OptState) -> bool:
    """Say whether an optimizer keeps a moving average of what it updates."""
    return bool(_states(opt_state, EmaState))


def update_ema(opt_state: optax.OptState, params: PyTree) -> optax.OptState:
    """Return the state with every moving average moved towards the parameters that a step has arrived at."""

    def moved(state: PyTree) -> PyTree:
        if not isinstance(state, EmaState):
            return state
        d = jnp.minimum(state.decay, (1 + state.updates) / (10 + state.updates))
        average = jax.tree.map(
            lambda old, now: old if _masked(old) else old + (1 - d).astype(old.dtype) * (now - old),
            state.average,
            params,
            is_leaf=_masked,
        )
        return EmaState(average, state.updates + 1, state.decay, update_ema(state.inner, params))

    return jax.tree.map(moved, opt_state, is_leaf=lambda x: isinstance(x, EmaState))


def select(good: Array, new: optax.OptState, old: optax.OptState) -> optax.OptState:
    """Return the new state where an update is good: bool[], else the old one with half its loss scale."""

    def one(new: PyTree, old: PyTree) -> PyTree:
        if not isinstance(new, LossScaleState):
            return jnp.where(good, new, old)
        scale = jnp.where(good, new.scale, jnp.maximum(old.scale / 2, MIN_SCALE))
        return LossScaleState(scale, jnp.where(good, new.since, 0), select(good, new.inner, old.inner))

    return jax.tree.map(one, new, old, is_leaf=lambda x: isinstance(x, LossScaleState))


def frozen(opt_state: optax.OptState) -> tuple[str, ...]:
    """Return the module paths whose parameters stay as they are, such as `Block_0/attention`."""
    listed, _ = jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=lambda x: isinstance(x, FrozenState))
    return tuple(
        next(str(key.key) for key in reversed(path) if isinstance(key, jax.tree_util.DictKey))
        for path, state in listed
        if isinstance(state, FrozenState)
    )


def _states(opt_state: optax.OptState, kind: type[Any]) -> list[Any]:
    leaves: list[Any] = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    states = [leaf for leaf in leaves if isinstance(leaf, kind)]
    return states + [deeper for state in states for deeper in _states(state.inner, kind)]


def with_masks(one: Callable[[PyTree, PyTree], PyTree], partial: PyTree, whole: PyTree) -> PyTree:
    """Return `one(part, leaf)` for each leaf of `whole`, and the leaf itself where `partial` is masked."""
    return jax.tree.map(lambda part, leaf: leaf if _masked(part) else one(part, leaf), partial, whole, is_leaf=_masked)


def _masked(node: PyTree) -> bool:
    return isinstance(node, optax.MaskedNode)
