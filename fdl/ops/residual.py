"""The residual stream, kept as an array between blocks.

XLA:CPU fuses elementwise work into whoever consumes it, and so recomputes the chain of additions that led there, in
every block, forward and backward: work that grows with the square of the depth, and where the consumer reads along
another dimension (the weight gradient of a convolution does) it jumps through all of memory. It removes
`lax.optimization_barrier` before it fuses; a branch that only the run decides stays.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.ops.forms import own


def keep(x: jax.Array) -> jax.Array:
    """Return `x: array[...]` itself; it and its gradient are each computed once."""
    if not own("residual"):
        return x
    number = jnp.int32(x.ravel()[0] > 0)  # not known before the run; whatever it is, the condition holds
    return lax.cond(number >= 0, lambda y: y, lambda y: -y, x)
