"""The residual stream, kept as an array between blocks.

XLA:CPU fuses elementwise work into whoever consumes it, and so recomputes the whole chain of additions in every block,
forward and backward: work that grows with the square of the depth. `lax.optimization_barrier` is removed before that
happens; a branch that only the run decides is not.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.ops.forms import own


def keep(x: jax.Array) -> jax.Array:
    """Return `x: array[...]` itself, and its gradient itself, each computed once."""
    return _own(x) if own("residual") else x


@jax.custom_vjp
def _own(x: jax.Array) -> jax.Array:
    return _held(x)


def _held(x: jax.Array) -> jax.Array:
    number = jnp.int32(x.ravel()[0] > 0)  # not known before the run; whatever it is, the condition holds
    return lax.cond(number >= 0, lambda y: y, lambda y: -y, x)


_own.defvjp(lambda x: (_held(x), None), lambda _, g: (_held(g),))
