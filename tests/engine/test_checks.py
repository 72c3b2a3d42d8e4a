import pytest
from flax import linen as nn

import tiny
from fdl.engine.checks import check


class Empty(nn.Module):
    """A layer of no width, with an initialiser that takes it: JAX's own no longer divide by it since 0.12."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(0, kernel_init=nn.initializers.zeros)(x)
        return nn.Dense(3, kernel_init=nn.initializers.zeros)(x)


def test_a_width_of_0_is_refused_where_the_initialiser_takes_it():
    with pytest.raises(ValueError, match=r"no width may be 0, and Dense_0/bias is \[0\]") as error:
        check(tiny.experiment(model=Empty()), 1)
    assert "Empty and task" in str(error.value)
