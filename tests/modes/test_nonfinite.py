import json
from dataclasses import replace

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fdl
from fdl.core.errors import Fault
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import lines
from tests import tiny


class Fragile(nn.Module):
    """Give infinity out of the module `log` for an example whose first number is above a limit."""

    limit: float = 1e9

    @nn.compact
    def __call__(self, inputs, *, train: bool = False):
        x = nn.Dense(8, name="first")(inputs)
        x = Cliff(self.limit, name="cliff")(x, inputs[:, :1])
        return nn.Dense(3, name="last")(x)


class Cliff(nn.Module):
    limit: float

    @nn.compact
    def __call__(self, x, first):
        return x + jnp.where(first > self.limit, jnp.inf, 0.0)


def limit(made, rank: int = 1) -> float:
    inputs = made.dataset.load("train").arrays[0]
    return float(np.sort(inputs[:, 0])[-1 - rank])


def test_a_step_that_is_not_finite_is_blamed_on_its_rows_and_module(tmp_path):
    made = tiny.experiment(executor="jit", save_every=2, log_every=4, steps_per_call=2)
    made = replace(made, model=Fragile(limit(made)))
    with pytest.raises(Fault, match=r"the outputs are not finite, first in module cliff.*nonfinite=skip"):
        fdl.train(made, tmp_path, log=lambda _: None)
    found = json.loads((tmp_path / "nonfinite.json").read_text())
    row = int(np.argmax(made.dataset.load("train").arrays[0][:, 0]))
    assert row in found["rows"]
    assert found["module"] == "cliff"
    assert all(step < found["step"] for step in Checkpoints(tmp_path / "checkpoints").steps())
    # The same folder goes on where the user chooses to skip such steps.
    report = fdl.train(replace(made, nonfinite="skip"), tmp_path, log=lambda _: None)
    assert report["step"] == 12
    assert sum(line.get("skipped", 0) for line in lines(tmp_path / "metrics.jsonl")) >= 1
    assert np.isfinite(report["metrics"]["train"]["loss"])


def test_a_gradient_that_is_not_finite_is_named_though_the_loss_is(tmp_path):
    class Root(nn.Module):
        @nn.compact
        def __call__(self, inputs, *, train: bool = False):
            zero = self.param("zero", nn.initializers.zeros, (3,))
            return nn.Dense(3)(inputs) + jnp.sqrt(zero)[None]

    made = tiny.experiment(executor="jit", model=Root(), save_every=1, log_every=1)
    with pytest.raises(Fault, match="step 1: the gradient of zero is not finite"):
        fdl.train(made, tmp_path, log=lambda _: None)
    assert Checkpoints(tmp_path / "checkpoints").steps() == []


def test_a_learning_rate_that_explodes_is_traced(tmp_path):
    made = tiny.experiment(executor="jit", optimizer=optax.sgd(1e30), log_every=12, save_every=0)
    with pytest.raises(Fault, match=r"not finite.*training rows"):
        fdl.train(made, tmp_path, log=lambda _: None)
    assert '<div class="verdict failed">failed: ' in (tmp_path / "report.html").read_text()
