import jax
import numpy as np
import pytest

import random_variables
from fdl.models import ResNet
from fdl.models.resnet import Residual

X = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_block_begins_as_its_shortcut(bottleneck):
    block = Residual(1 if bottleneck else 4, bottleneck=bottleneck)
    variables = jax.jit(block.init)(jax.random.key(0), X)
    np.testing.assert_array_equal(jax.jit(block.apply)(variables, X), np.maximum(X, 0))


def test_a_padded_shortcut_thins_space_and_adds_empty_channels():
    block = Residual(6, stride=2, shortcut="pad", pre_activation=True)
    variables = random_variables.variables(block, X)
    variables["params"]["conv2"]["kernel"] *= 0
    y = jax.jit(block.apply)(variables, X)
    np.testing.assert_array_equal(y[..., :4], X[:, ::2, ::2])
    assert (y[..., 4:] == 0).all()


def test_padding_rows_change_nothing_in_training():
    model = ResNet(3, (1,), width=4, stem="small")
    variables = random_variables.variables(model, X)

    @jax.jit
    def run(x, weights):
        return model.apply(variables, x, weights=weights, train=True, mutable=["batch_stats"])

    y, stats = run(X, np.ones(2))
    z, padded = run(np.concatenate([X, 99 * X]), np.array([1.0, 1, 0, 0]))
    np.testing.assert_allclose(y, z[:2], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats, padded)
