import jax
import jax.numpy as jnp
import numpy as np

import random_variables
from fdl.models import Bag

MODEL = Bag(3, width=4, longest=3, buckets=64, hidden=8)
TOKENS = jax.random.randint(jax.random.key(0), (4, 9), 0, 50)


def test_what_lies_beyond_the_length_changes_nothing():
    variables = random_variables.variables(MODEL, TOKENS)
    lengths = jnp.array([9, 5, 1, 0])
    other = jnp.where(jnp.arange(9)[None] < lengths[:, None], TOKENS, 7)
    np.testing.assert_array_equal(*(MODEL.apply(variables, x, lengths) for x in (TOKENS, other)))
    short = MODEL.apply(variables, TOKENS[1:2, :5])
    np.testing.assert_allclose(MODEL.apply(variables, TOKENS, lengths)[1:2], short, atol=1e-6)


def test_a_run_counts_wherever_it_stands_and_its_order_matters():
    one = Bag(3, width=4, longest=2, buckets=2**16, hidden=8)
    texts = jnp.array([[1, 2, 3, 1, 2], [3, 1, 2, 3, 1], [2, 1, 3, 2, 1]])
    variables = random_variables.variables(one, texts)
    repeated = one.apply(variables, jnp.array([[1, 2, 1, 2, 1], [2, 1, 2, 1, 1]]))
    assert not np.allclose(repeated[0], repeated[1])
    singles = Bag(3, width=4, longest=1, buckets=2**16, hidden=8)
    said = singles.apply(variables, jnp.array([[1, 2, 3], [3, 2, 1]]))
    np.testing.assert_allclose(said[0], said[1], atol=1e-6)
