"""What many consumers read, kept as an array and computed once.

XLA:CPU fuses elementwise work into whoever consumes it, and so computes it again for each. In a residual stream that is
the whole chain of additions, in every block, forward and backward; and where a consumer reads along another dimension,
as the weight gradient of a convolution does, each number is fetched from another place in memory. XLA removes
`lax.optimization_barrier` before it fuses; a branch that only the run decides stays.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.kernel_choice import custom


def materialize(x: jax.Array) -> jax.Array:
    """Return `x: array[...]` itself; it and its gradient are each computed once."""
    if not custom("materialize"):
        return x
    number = jnp.int32(x.ravel()[0] > 0)  # not known before the run; whatever it is, the condition holds
    return lax.cond(number >= 0, lambda y: y, lambda y: -y, x)
