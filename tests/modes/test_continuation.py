"""A finished run is made longer in its folder where its learning rates allow, and equals a run of that length."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import fdl
import tiny
from fdl import optim
from fdl.core.errors import UserError
from fdl.core.recorded import recorded
from fdl.engine.options import apply_options
from fdl.modes.continuation import first_difference
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import CLOCKED


def digits(epochs: float, **options):
    """Digits by the shipped page: 45 steps of two epochs, which is between two log lines."""
    made = fdl.load("digits_mlp", width=8, depth=1, epochs=epochs)
    made = apply_options(made, **{"schedule": "warmup_constant", **options})
    return replace(made, log_every=10, evaluate_every=10, executor="jit")


def lines_of(report):
    return [{key: value for key, value in line.items() if key not in CLOCKED} for line in report.history]


def test_a_longer_run_is_bit_for_bit_the_run_of_that_length(tmp_path):
    lines: list[str] = []
    whole = fdl.train(digits(4), tmp_path / "whole", log=None)
    short = fdl.train(digits(2), tmp_path / "run", log=None)
    assert short["step"] == 45
    longer = fdl.train(digits(4), tmp_path / "run", log=lines.append)
    assert lines[0].startswith(
        "longer now, 90 steps for 45, with the same learning rates so far: goes on from step 40,"
    )
    assert (tmp_path / "run" / "checkpoints" / "ended-45" / "meta.json").exists()
    assert lines_of(longer) == lines_of(whole)
    assert longer["metrics"] == whole["metrics"]
    assert (longer["interruptions"], longer["lost_seconds"]) == (0, 0)  # of a finished run, no fault
    for step in (80, 90):
        kept = [Checkpoints(tmp_path / name / "checkpoints").variables(step) for name in ("run", "whole")]
        jax.tree.map(np.testing.assert_array_equal, *kept)

    assert fdl.train(digits(4), tmp_path / "run", log=lines.append) == longer
    assert "finished already, at step 90" in lines[-1]
    assert fdl.restore(tmp_path / "run", "last").experiment.steps == 90
    with pytest.raises(UserError, match="steps is 90 there and 45 here"):
        fdl.train(digits(2), tmp_path / "run", log=None)


def test_another_plan_of_learning_rates_is_refused_with_a_way_out_that_works(tmp_path):
    fdl.train(digits(2, schedule=None), tmp_path / "run", log=None)
    with pytest.raises(UserError, match=r"learning_rate at step 1 is 0\.00075 there and 0\.0003333 here.*--init="):
        fdl.train(digits(4, schedule=None), tmp_path / "run", log=None)
    assert fdl.train(digits(2, schedule=None), tmp_path / "run", log=None)["step"] == 45
    assert fdl.train(digits(4, schedule=None, init=tmp_path / "run"), tmp_path / "more", log=None)["step"] == 90


def test_without_a_page_the_same_optimizer_goes_on_and_another_does_not(tmp_path):
    def of(steps, rate):
        return tiny.experiment(steps=steps, optimizer=recorded(tiny.optax.sgd)(rate), log_every=4)

    rate, cosine = 0.1, optim.warmup_cosine
    assert fdl.train(of(12, rate), tmp_path / "run", log=None)["step"] == 12
    assert fdl.train(of(20, rate), tmp_path / "run", log=None)["step"] == 20
    fdl.train(of(12, cosine(rate, 12)), tmp_path / "planned", log=None)
    with pytest.raises(UserError, match=r"holds another run.*--init="):
        fdl.train(of(20, cosine(rate, 20)), tmp_path / "planned", log=None)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (optim.sgd(0.1), optim.sgd(0.1), ""),
        (optim.sgd(0.1), optim.sgd(0.1, momentum=0.5), "momentum differs"),
        (optim.sgd(0.1), optim.adamw(0.1), "optimizer differs"),
        (optim.sgd(optim.warmup_constant(0.1)), optim.sgd(optim.warmup_constant(0.1)), ""),
        (optim.sgd(optim.warmup_linear(1.0, 40)), optim.sgd(optim.warmup_linear(1.0, 80)), "at step 1 is 0.25 there"),
        (
            optim.sgd(optim.warmup_linear(1.0, 90, warmup=0)),
            optim.sgd(optim.warmup_linear(1.0, 80, warmup=0)),
            "at step 3",
        ),
        (optim.sgd(0.1), optim.sgd(tiny.optax.piecewise_constant_schedule(0.1, {20: 0.5})), ""),
        (
            optim.sgd(0.1),
            optim.sgd(tiny.optax.piecewise_constant_schedule(0.1, {5: 0.5})),
            "learning_rate at step 6 is",
        ),
        (tiny.optax.sgd(0.1), tiny.optax.sgd(0.1), "cannot be compared"),
        (optim.frozen(optim.sgd(0.1), ["a"]), optim.frozen(optim.sgd(0.1), ["b"]), "paths differs"),
        (
            optim.groups({"a": optim.sgd(0.1)}, optim.sgd(0.1)),
            optim.groups({"a": optim.sgd(0.2)}, optim.sgd(0.1)),
            "0.2",
        ),
    ],
)
def test_optimizers_are_compared_by_every_rate_so_far(before, now, message):
    found = first_difference(before, now, 20)
    assert message in found
    assert bool(message) == bool(found)


@pytest.mark.parametrize(
    ("then", "now", "way"),
    [("warmup_constant", None, "--schedule=warmup_constant"), (None, "warmup_constant", "leave out --schedule")],
)
def test_a_longer_run_of_another_schedule_is_said_how_to_go_on(tmp_path, then, now, way):
    fdl.train(digits(2, schedule=then), tmp_path / "run", log=None)
    with pytest.raises(UserError, match=f"or go on in this one with what it was trained with: {way}"):
        fdl.train(digits(4, schedule=now), tmp_path / "run", log=None)
