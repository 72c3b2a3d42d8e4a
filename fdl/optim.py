"""The optimizers and schedules everyone repeats, in plain Optax.

Each returns an ordinary `optax.GradientTransformation` or `optax.Schedule`, so anything of Optax may stand in its place
or be chained to it. Numbers may be traced arrays (`optax.inject_hyperparams(adamw)(…)`): nothing here branches on one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from fdl.types import Array, PyTree

MOST_SCALE = 2.0**24  # of the loss: more lifts no float16 gradient that counts, and doubling would end at infinity


def warmup_cosine(peak: float, steps: int, *, warmup: float = 0.1, end: float = 0.0) -> optax.Schedule:
    """Make a learning rate that rises linearly to `peak` and falls along a half cosine to `end * peak`.

    steps: updates of the whole run; warmup: the share of them that rise. The first update already moves.
    """
    _refuse_negative("learning_rate", peak)
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
    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)
    adam = optax.adamw(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay, mask=decay_mask)
    return optax.chain(_clip(clip), adam)


def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    b2: float = 0.99,
) -> optax.GradientTransformation:
    """Make Muon (Jordan et al., 2024): matrices move by their momentum made orthogonal, all else by AdamW.

    Embeddings are all else, and momentum is Nesterov's. Matrices move as far as AdamW would move them (Liu et al.,
    2025), so one rate serves both. A kernel of more than two dimensions is cut into rows and columns where the matrix
    is nearest to square. It takes fewer steps than AdamW and more work for each: some fifteen products of a matrix.
    """

    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)

    def sides(params: PyTree) -> PyTree:
        def cut(path: tuple, leaf: jax.Array, decays: bool) -> contrib.MuonDimensionNumbers | None:
            if not decays or jax.tree_util.keystr(path[-1:], simple=True) == "embedding":
                return None
            places = range(leaf.ndim)
            at = min(places[1:], key=lambda at: abs(math.log(math.prod(leaf.shape[:at]) / math.prod(leaf.shape[at:]))))
            return contrib.MuonDimensionNumbers(tuple(places[:at]), tuple(places[at:]))

        return jax.tree_util.tree_map_with_path(cut, params, decay_mask(params))

    orthogonal = contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        adam_b2=b2,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=sides,
    )
    return optax.chain(_clip(clip), orthogonal)


def sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """Make SGD with Nesterov momentum; weight decay joins the gradient (L2, with `decay_mask`), after the clip."""
    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)
    decay = optax.add_decayed_weights(weight_decay, decay_mask)
    return optax.chain(_clip(clip), decay, optax.sgd(learning_rate, momentum, nesterov=True))


def groups(
    parts: Mapping[str, optax.GradientTransformation], rest: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Give the parameters below each module path an optimizer of their own, and all others `rest`.

    parts: paths such as "Dense_0" or "Block_0/attention" -> optimizer; the longest that leads to a parameter is its.
    Raises a ValueError where a path leads to none. A clip by the global norm is one of each group.
    """

    def labels(params: PyTree) -> PyTree:
        def longest(path: tuple, _: Array) -> str:
            place = jax.tree_util.keystr(path, simple=True, separator="/")
            return max((part for part in parts if f"{place}/".startswith(f"{part}/")), key=len, default="")

        found = jax.tree_util.tree_map_with_path(longest, params)
        for part in set(parts) - set(jax.tree.leaves(found)):
            raise ValueError(f"no parameter is below {part!r}; the model has {', '.join(params)}")
        return found

    return optax.partition({**parts, "": rest}, labels)


def frozen(optimizer: optax.GradientTransformation, paths: Sequence[str]) -> optax.GradientTransformation:
    """Keep the parameters below these module paths as they are; they cost the optimizer no memory."""
    return groups(dict.fromkeys(paths, optax.set_to_zero()), rest=optimizer)


class Averaged(NamedTuple):
    """The state of `averaged`: the moving average of the weights, updates so far, the inner optimizer's state."""

    average: PyTree
    updates: Array
    inner: optax.OptState


def averaged(optimizer: optax.GradientTransformation, decay: float = 0.999) -> optax.GradientTransformation:
    """Keep a moving average of the weights beside any optimizer: evaluation takes it, training is as without.

    average <- d average + (1 - d) weights with d = min(decay, (1 + t) / (10 + t)), so that the first weights fade soon.
    Paper: Polyak and Juditsky, 1992. Batch statistics are not averaged. Nothing may be wrapped around it.
    """

    def init(params: PyTree) -> Averaged:
        return Averaged(jax.tree.map(jnp.asarray, params), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: PyTree, state: Averaged, params: PyTree = None) -> tuple[PyTree, Averaged]:
        updates, inner = optimizer.update(grads, state.inner, params)
        keep = jnp.minimum(decay, (1 + state.updates) / (10 + state.updates))
        new = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda old, now: old + (1 - keep).astype(old.dtype) * (now - old), state.average, new)
        return updates, Averaged(average, state.updates + 1, inner)

    return optax.GradientTransformation(init, update)


def evaluated(params: PyTree, opt_state: optax.OptState) -> PyTree:
    """Return the weights that evaluation takes: the average where the optimizer keeps one, else the parameters."""
    return opt_state.average if isinstance(opt_state, Averaged) else params


class Scaled(NamedTuple):
    """The state of `scaled`: the scale of the loss, updates since it last changed, the inner optimizer's state."""

    scale: Array
    since: Array
    inner: optax.OptState


def scaled(
    optimizer: optax.GradientTransformation, *, start: float = 2.0**15, patience: int = 2000
) -> optax.GradientTransformation:
    """Scale the loss so that float16 gradients do not vanish: twice as far after `patience` finite updates in a row.

    An update that is not finite halves the scale and changes nothing else. Scales are powers of two up to 2^24, so that
    finite gradients are the very same as without. Paper: Micikevicius et al., 2018.
    """

    def init(params: PyTree) -> Scaled:
        return Scaled(jnp.float32(start), jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(grads: PyTree, state: Scaled, params: PyTree = None) -> tuple[PyTree, Scaled]:
        grads = jax.tree.map(lambda g: g / state.scale.astype(g.dtype), grads)
        finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all()
        updates, inner = optimizer.update(grads, state.inner, params)
        updates = jax.tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), updates)
        inner = jax.tree.map(lambda new, old: jnp.where(finite, new, old), inner, state.inner)
        grown = jnp.where(state.since + 1 >= patience, jnp.minimum(2 * state.scale, MOST_SCALE), state.scale)
        since = jnp.where(finite & (state.since + 1 < patience), state.since + 1, 0)
        return updates, Scaled(jnp.where(finite, grown, jnp.maximum(state.scale / 2, 1)), since, inner)

    return optax.GradientTransformation(init, update)


def loss_scale(opt_state: optax.OptState) -> Array | float:
    """Return what the loss is multiplied by before it is differentiated: 1, except where `scaled` says otherwise."""
    if isinstance(opt_state, Averaged):
        opt_state = opt_state.inner
    return opt_state.scale if isinstance(opt_state, Scaled) else 1.0


def _clip(norm: float | None) -> optax.GradientTransformation:
    _refuse_negative("clip", norm)
    return optax.identity() if norm is None else optax.clip_by_global_norm(norm)


def _refuse_negative(name: str, value: Any) -> None:
    """Raise a ValueError where a number is below 0, which would climb the loss; schedules and arrays are not asked."""
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"{name} {value} is below 0 and would climb the loss; give 0 or more")
