"""Common optimizers and schedules, composed from Optax.

Each returns an `optax.GradientTransformation` or `optax.Schedule`, interchangeable with any other of Optax.
Hyperparameters may be traced arrays (`optax.inject_hyperparams(adamw)(…)`): nothing here branches on one.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from fdl.core.errors import UserError
from fdl.core.lora import lora as lora
from fdl.core.lora import matrix_split
from fdl.core.optimizer_state import FrozenState
from fdl.core.optimizer_state import dynamic_loss_scale as dynamic_loss_scale
from fdl.core.optimizer_state import ema as ema
from fdl.core.recorded import name_of, recipe_of, recorded
from fdl.core.types import PyTree

_RATE = "learning_rate"  # the argument, in every factory of Optax and of this file


@recorded
def warmup_cosine(peak: float, steps: int, *, warmup: float = 0.1, end: float = 0.0) -> optax.Schedule:
    """Make a learning rate that rises linearly to `peak` and falls along a half cosine to `end * peak`.

    steps: updates of the whole run; warmup: the share of them that rise. The first update already moves.

    >>> schedule = warmup_cosine(0.1, 100)
    >>> [round(float(schedule(step)), 4) for step in (0, 10, 55, 100)]
    [0.01, 0.1, 0.05, 0.0]
    """
    _refuse_negative("learning_rate", peak)
    rise = max(1, round(warmup * steps))
    up = optax.linear_schedule(peak / rise, peak, rise)
    down = optax.cosine_decay_schedule(peak, max(1, steps - rise), alpha=end)
    return optax.join_schedules([up, down], [rise])


@recorded
def warmup_linear(peak: float, steps: int, *, warmup: float = 0.1, end: float = 0.0) -> optax.Schedule:
    """Make a learning rate that rises linearly to `peak` and falls linearly to `end * peak`; see `warmup_cosine`."""
    _refuse_negative("learning_rate", peak)
    rise = max(1, round(warmup * steps))
    up = optax.linear_schedule(peak / rise, peak, rise)
    down = optax.linear_schedule(peak, end * peak, max(1, steps - rise))
    return optax.join_schedules([up, down], [rise])


@recorded
def warmup_constant(peak: float, *, rise: int = 100) -> optax.Schedule:
    """Make a learning rate that rises linearly to `peak` over `rise` updates and stays: of any length of training."""
    _refuse_negative("learning_rate", peak)
    up = optax.linear_schedule(peak / rise, peak, rise)
    return optax.join_schedules([up, optax.constant_schedule(peak)], [rise])


def decay_mask(params: PyTree) -> PyTree:
    """Return for each parameter whether weight decay applies: to kernels, not to biases, scales and vectors.

    >>> decay_mask({"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)})
    {'bias': False, 'kernel': True}
    """

    def decays(path: tuple[Any, ...], leaf: jax.Array) -> bool:
        return leaf.ndim > 1 and jax.tree_util.keystr(path[-1:], simple=True) not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decays, params)


@recorded
def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> optax.GradientTransformation:
    """Make AdamW (Loshchilov & Hutter, 2019) with `decay_mask` and gradient clipping by the global norm `clip`."""
    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)
    adam = optax.adamw(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay, mask=decay_mask)
    return optax.chain(_clip(clip), adam)


@recorded
def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    b2: float = 0.99,
) -> optax.GradientTransformation:
    """Make Muon (Jordan et al., 2024): orthogonalised momentum updates for matrices, AdamW for all other parameters.

    Embeddings use AdamW; momentum is Nesterov's. Matrix updates are scaled to the RMS of AdamW's (Liu et al., 2025), so
    one learning rate serves both. A kernel of more than two dimensions is reshaped to the matrix nearest to square. It
    takes fewer steps than AdamW at a higher cost per step: about fifteen matrix products per matrix.
    """

    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)

    def sides(params: PyTree) -> PyTree:
        def cut(path: tuple[Any, ...], leaf: jax.Array, decays: bool) -> contrib.MuonDimensionNumbers | None:
            if not decays or jax.tree_util.keystr(path[-1:], simple=True) == "embedding":
                return None
            places, at = range(leaf.ndim), matrix_split(leaf.shape)
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


@recorded
def sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """Make SGD with Nesterov momentum; weight decay (L2, with `decay_mask`) is added to the gradient after clipping."""
    _refuse_negative("learning_rate", learning_rate)
    _refuse_negative("weight_decay", weight_decay)
    decay = optax.add_decayed_weights(weight_decay, decay_mask)
    return optax.chain(_clip(clip), decay, optax.sgd(learning_rate, momentum, nesterov=True))


@recorded
def groups(
    parts: Mapping[str, optax.GradientTransformation], rest: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Use a separate optimizer for the parameters below each module path, and `rest` for all others.

    parts: paths such as "Dense_0" or "Block_0/attention" -> optimizer; a parameter uses the longest matching path.
    Raises a ValueError where a path matches no parameter. Clipping by the global norm is per group.
    """

    def labels(params: PyTree) -> PyTree:
        def longest(path: tuple[Any, ...], _: PyTree) -> str:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return max((part for part in parts if f"{name}/".startswith(f"{part}/")), key=len, default="")

        # A parameter that a wrapper around this one has masked is there all the same.
        named = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))[0]
        for part in set(parts) - {longest(path, leaf) for path, leaf in named}:
            raise UserError(f"no parameter is below {part!r}; the model has {', '.join(params)}")
        return jax.tree_util.tree_map_with_path(longest, params)

    return optax.partition({**parts, "": rest}, labels)


@recorded
def frozen(optimizer: optax.GradientTransformation, paths: Sequence[str]) -> optax.GradientTransformation:
    """Freeze the parameters below these module paths; they use no optimizer memory.

    Batch statistics below them are frozen as well, and a frozen BatchNorm normalises by them (as in Keras).
    """
    freeze = optax.GradientTransformation(
        lambda params: FrozenState(), lambda grads, state, params=None: (jax.tree.map(jnp.zeros_like, grads), state)
    )
    return groups(dict.fromkeys(paths, freeze), rest=optimizer)


@recorded
def train_only(optimizer: optax.GradientTransformation, paths: Sequence[str]) -> optax.GradientTransformation:
    """Train the parameters below these module paths, such as a new head, and freeze all others as `frozen` does.

    Raises a ValueError where a path matches no parameter.
    """

    def others(params: PyTree, at: str = "") -> list[str]:
        """Return the shortest paths below which nothing is trained."""
        found: list[str] = []
        for name, part in params.items():
            path = f"{at}{name}"
            if path in paths or not jax.tree.leaves(part):
                continue
            leads = any(wanted.startswith(f"{path}/") for wanted in paths)
            found += others(part, f"{path}/") if leads and isinstance(part, Mapping) else [path]
        return found

    def split(params: PyTree) -> optax.GradientTransformation:
        return frozen(optimizer, others(params))

    def init(params: PyTree) -> optax.OptState:
        groups(dict.fromkeys(paths, optimizer), rest=optimizer).init(params)  # which refuses a path without parameters
        return split(params).init(params)

    return optax.GradientTransformation(
        init, lambda grads, state, params=None: split(grads).update(grads, state, params)
    )


def fine_tuning(
    make: Callable[[float], optax.GradientTransformation],
    learning_rate: float,
    *,
    head: Sequence[str],
    body: float = 0.1,
) -> optax.GradientTransformation:
    """Make an optimizer for pretrained weights: new modules learn at the full rate, all others at a share of it.

    make: the optimizer of a learning rate. head: paths of the new modules. body: the share of the others; 0 freezes
        them.
    """
    _refuse_negative("body", body)
    if body == 0:
        return train_only(make(learning_rate), head)
    return groups(dict.fromkeys(head, make(learning_rate)), rest=make(body * learning_rate))


def learning_rates(optimizer: optax.GradientTransformation) -> list[optax.ScalarOrSchedule]:
    """Return the learning rates of an optimizer and of all that it wraps; none of what is not `recorded`."""
    recipe = recipe_of(optimizer)
    rates: list[optax.ScalarOrSchedule] = []
    for name, value in recipe.arguments.items() if recipe else ():
        rates += [value] if name == _RATE else [rate for part in _parts(value) for rate in learning_rates(part)]
    return rates


def learning_rate(optimizer: optax.GradientTransformation) -> optax.ScalarOrSchedule | None:
    """Return the learning rate of an optimizer, None of one that has several or is not `recorded`."""
    first, *others = learning_rates(optimizer) or [None]
    return first if all(one is first for one in others) else None


def clips(optimizer: optax.GradientTransformation) -> bool:
    """Say whether an optimizer begins by clipping by the global norm of all gradients; of one not `recorded`, no."""
    recipe = recipe_of(optimizer)
    if recipe is None:
        return False
    if recipe.factory in (name_of(ema), name_of(dynamic_loss_scale)):  # they pass gradients on as they are
        return any(map(clips, _parts(recipe.arguments)))
    parameter = inspect.signature(recipe.make).parameters.get("clip")
    return parameter is not None and recipe.arguments.get("clip", parameter.default) is not None


def with_learning_rate(
    optimizer: optax.GradientTransformation, rate: optax.ScalarOrSchedule
) -> optax.GradientTransformation:
    """Return the optimizer as its factories make it with this learning rate, in all that it wraps as well."""
    recipe = recipe_of(optimizer)
    if recipe is None:
        return optimizer

    def changed(part: Any) -> Any:
        return with_learning_rate(part, rate) if _is_optimizer(part) else part

    arguments = {
        name: rate if name == _RATE else jax.tree.map(changed, value, is_leaf=_is_optimizer)
        for name, value in recipe.arguments.items()
    }
    made: optax.GradientTransformation = recipe.remake(**arguments)
    return made


def _parts(value: Any) -> list[optax.GradientTransformation]:
    return [leaf for leaf in jax.tree.leaves(value, is_leaf=_is_optimizer) if _is_optimizer(leaf)]


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, optax.GradientTransformation)


def _clip(norm: float | None) -> optax.GradientTransformation:
    _refuse_negative("clip", norm)
    return optax.identity() if norm is None else optax.clip_by_global_norm(norm)


def _refuse_negative(name: str, value: Any) -> None:
    """Raise a ValueError for a negative number, which would ascend the loss; schedules and arrays are not checked."""
    if isinstance(value, int | float) and value < 0:
        raise UserError(f"{name} {value} is below 0 and would ascend the loss; give 0 or more")
