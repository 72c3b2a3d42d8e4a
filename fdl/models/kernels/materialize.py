"""Materialise an array that has many consumers, so that it is computed once.

XLA:CPU fuses elementwise operations into each of their consumers, and so recomputes them for each. In a residual
stream that is the whole chain of additions, in every block, forward and backward; and a consumer that reads along
another dimension, as the weight gradient of a convolution does, recomputes with strided access.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fdl.core.kernel_choice import custom


# Why a branch: XLA removes `lax.optimization_barrier` before fusion, but it does not fuse across a conditional whose
# predicate is known only at run time. The branches must differ, or XLA would merge them; the second is never taken.
def materialize(x: jax.Array) -> jax.Array:
    """Return `x: array[...]` unchanged; it and its gradient are each computed once."""
    if not custom("materialize"):
        return x
    number = jnp.int32(x.ravel()[0] > 0)  # 0 or 1, unknown to the compiler: the predicate below always holds
    result: jax.Array = lax.cond(number >= 0, lambda y: y, lambda y: -y, x)
    return result
