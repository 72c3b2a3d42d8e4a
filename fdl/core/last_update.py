"""How long gradients are, and how far an optimizer moves the weights: from its state alone, at no cost of a step.

An optimizer with momentum keeps the mean of its gradients. The gradient under which that mean stays as it is, given at
the last step's count, makes the last update anew: exactly where momentum, learning rate and bias correction decide, and
to the change of one step in second moments and weight decay.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from fdl.core.optimizer_state import with_masks
from fdl.core.types import PyTree, Sum

MEAN, SUM = "mu", "trace"  # Optax's fields of a momentum: of Adam's kind (a mean), and of SGD's (a decayed sum)


def norm_of(gradient: PyTree) -> Sum:
    """Return the norm of one gradient, of weight 0 where it is not finite: such a step must not hide the others."""
    norm = optax.tree_utils.tree_norm(gradient)
    finite = jnp.isfinite(norm)
    return Sum(jnp.where(finite, norm, 0.0), finite.astype(jnp.float32))


def has_momentum(opt_state: optax.OptState, params: PyTree) -> bool:
    """Say whether an optimizer keeps momenta, all of them like the parameters: those of adapters, say, are not."""

    def structure(tree: PyTree) -> Any:
        return jax.tree.structure(tree, is_leaf=lambda node: isinstance(node, optax.MaskedNode))

    momenta = [momentum for field in (MEAN, SUM) for momentum in _momenta(opt_state, field)]
    return bool(momenta) and all(structure(momentum) == structure(params) for momentum in momenta)


def update_ratio(optimizer: optax.GradientTransformation, opt_state: optax.OptState, params: PyTree) -> jax.Array:
    """Return f32[]: the norm of an optimizer's last update by the norm of all weights; it must keep a momentum."""
    zeros, opt_state = jax.tree.map(jnp.zeros_like, params), _a_step_before(opt_state)
    gradient = zeros
    for mean in _momenta(opt_state, MEAN):
        gradient = with_masks(lambda part, _: part, mean, gradient)
    if sums := _momenta(opt_state, SUM):
        _, decayed = optimizer.update(zeros, opt_state, params)
        for before, after in zip(sums, _momenta(decayed, SUM), strict=True):
            added = jax.tree.map(jnp.subtract, before, after)
            gradient = with_masks(lambda part, _: part, added, gradient)
    gradient = jax.tree.map(lambda mean, leaf: mean.astype(leaf.dtype), gradient, params)
    updates, _ = optimizer.update(gradient, opt_state, params)
    return jnp.divide(optax.tree_utils.tree_norm(updates), optax.tree_utils.tree_norm(params))


def _momenta(opt_state: optax.OptState, field: str) -> list[PyTree]:
    """Return the momenta of one kind, each like the parameters, with `optax.MaskedNode` in the place of others."""
    states = jax.tree.leaves(opt_state, is_leaf=lambda node: _has(node, field))
    return [getattr(state, field) for state in states if _has(state, field) and getattr(state, field) is not None]


def _a_step_before(opt_state: optax.OptState) -> optax.OptState:
    """Return the state with the counts of its schedules and bias corrections one step back."""

    def back(node: Any) -> Any:
        return node._replace(count=node.count - 1) if _has(node, "count") else node

    return jax.tree.map(back, opt_state, is_leaf=lambda node: _has(node, "count"))


def _has(node: Any, field: str) -> bool:
    return field in getattr(node, "_fields", ())
