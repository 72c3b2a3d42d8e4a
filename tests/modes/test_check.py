"""The check of an experiment: a sound one passes, and each kind of mistake is named."""

import itertools

import jax.numpy as jnp
import pytest
from flax import linen as nn

import fdl
from fdl.core.errors import Fault
from fdl.engine.options import with_frozen
from fdl.models import MLP
from tests import tiny


class Idle(nn.Module):
    """Has a layer whose outputs nobody uses."""

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        nn.Dense(3, name="unused")(x)
        return MLP(outputs=3, hidden=(16,))(x)


class Constant(nn.Module):
    """Gives the same outputs whatever the inputs are."""

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        return jnp.zeros((len(x), 3)) + 0 * nn.Dense(3)(x.reshape(len(x), -1))


class Infinite(nn.Module):
    """Divides by zero."""

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        return nn.Dense(3)(x.reshape(len(x), -1)) / jnp.zeros(())


def test_a_sound_experiment_passes_in_lines_that_say_what_it_saw():
    said: list[str] = []
    assert fdl.check(tiny.experiment(), log=said.append) == []
    text = "\n".join(said)
    assert "inputs float32[8, 5]: " in text
    assert "targets int32[8]: 0 to 2, 3 different" in text
    assert "4 of 4 parameter arrays get one" in text
    assert said[-1].startswith("all is well")


def test_a_slow_machine_is_no_mistake_of_the_model():
    seconds = itertools.count(0.0, 100.0)
    assert fdl.check(tiny.experiment(), log=None, clock=lambda: next(seconds)) == []


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Idle(), "no gradient reaches unused/bias, unused/kernel"),
        (Constant(), "and 1 more above"),
        (Infinite(), "in the first training step the outputs are not finite, first in module Infinite"),
    ],
)
def test_each_mistake_is_named(model, problem):
    with pytest.raises(Fault, match=problem):
        fdl.check(tiny.experiment(model=model), log=None)


def test_what_is_frozen_needs_no_gradient():
    assert fdl.check(with_frozen(tiny.experiment(model=Idle()), ["unused"]), log=None) == []
