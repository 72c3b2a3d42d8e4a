"""Early stopping of members that share one program: a stopped member's updates are masked, its best state is kept.

Shape legend: P members.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from fdl.core.types import Array, Batch, PyTree, Step, Sums, TrainState


class Kept(NamedTuple):
    """What evaluation found to be a member's best; step 0: nothing yet, since no evaluation comes before an update."""

    step: Array
    params: PyTree
    opt_state: PyTree
    model_state: PyTree


class Stopping(NamedTuple):
    """The optimizer's state of a member that may stop before the others.

    inner:   the optimizer's state. best: the member at its best evaluation. stopped: bool[], no longer updated.
    """

    inner: optax.OptState
    best: Kept
    stopped: Array


def stoppable(state: TrainState) -> TrainState:
    """Return a member's first state, with room for its best."""
    best = Kept(state.step, state.params, state.opt_state, state.model_state)
    best = jax.tree.map(jnp.zeros_like, best)  # arrays of its own: a call that updates the state donates them
    return state._replace(opt_state=Stopping(state.opt_state, best, jnp.zeros((), bool)))


def until_stopped(step: Step) -> Step:
    """Return the Step of a member that may stop: its update is computed and masked, its step counter advances."""

    def masked(state: TrainState, batch: Batch, *constants: PyTree) -> tuple[TrainState, Sums]:
        held: Stopping = state.opt_state
        before = state._replace(opt_state=held.inner)
        after, sums = step(before, batch, *constants)
        kept = jax.tree.map(lambda new, old: jnp.where(held.stopped, old, new), after, before)
        return kept._replace(step=after.step, opt_state=held._replace(inner=kept.opt_state)), sums

    return masked


def unwrapped(step: Step) -> Step:
    """Return the evaluation Step, which changes no state, of a member that may stop."""

    def inside(state: TrainState, batch: Batch, *constants: PyTree) -> tuple[TrainState, Sums]:
        return state, step(state._replace(opt_state=state.opt_state.inner), batch, *constants)[1]

    return inside


@jax.jit
def remember(states: TrainState, improved: Array, stopped: Array) -> TrainState:
    """Return the states [P, ...] after an evaluation: the improved bool[P] are kept as they are, the stopped marked."""
    held: Stopping = states.opt_state
    now = Kept(jnp.broadcast_to(states.step, held.best.step.shape), states.params, held.inner, states.model_state)
    best = _choose(improved, now, held.best)
    return states._replace(opt_state=Stopping(held.inner, best, stopped))


@jax.jit
def recall(states: TrainState) -> TrainState:
    """Return the states [P, ...] of which each is its best, or as it is where no evaluation gave a number."""
    held: Stopping = states.opt_state
    steps = jnp.broadcast_to(states.step, held.best.step.shape)
    now = Kept(steps, states.params, held.inner, states.model_state)
    best = _choose(held.best.step > 0, held.best, now)
    return states._replace(
        params=best.params, model_state=best.model_state, opt_state=Stopping(best.opt_state, best, held.stopped)
    )


def _choose(first: Array, yes: PyTree, no: PyTree) -> PyTree:
    """Return for each of P members the one tree or the other. first: bool[P]; leaves [P, ...]."""
    return jax.tree.map(lambda a, b: jnp.where(first.reshape(-1, *(1,) * (a.ndim - 1)), a, b), yes, no)
