"""Counted work is the work of the formula, forwards and backwards."""

import jax
import numpy as np
import pytest

from fdl.models.layers import Conv
from fdl.profiling import flops


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_costs_twice_as_much_backwards_as_forwards(stride):
    images = np.ones((2, 8, 8, 3), np.float32)
    model = Conv(4, 3, stride)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    forwards = flops.count(model.apply, variables, images)
    assert forwards == 2 * (2 * (8 // stride) ** 2 * 4) * (3 * 3 * 3)
    both = flops.count(jax.grad(lambda v, x: model.apply(v, x).sum(), argnums=(0, 1)), variables, images)
    assert both == pytest.approx(3 * forwards)
