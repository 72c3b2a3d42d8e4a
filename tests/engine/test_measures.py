"""Log lines tell learning rate, gradient norm, update/weight ratio and speed, and training is as without them."""

import re

import jax
import numpy as np
import optax
import pytest

import fdl
import tiny
from fdl import optim
from fdl.core import steps
from fdl.core.last_update import update_ratio
from fdl.core.types import Sum
from fdl.engine import measures
from fdl.engine.program import training
from fdl.parallel.executors import jit
from fdl.runs.progress import Progress

RATE = optim.warmup_cosine(0.05, 12)


def lines_of(report):
    return [line for line in report.history if line["split"] == "train"]


def test_a_line_has_the_rate_of_its_last_step_and_the_mean_norm_of_its_gradients(tmp_path):
    made = tiny.experiment(optimizer=optim.adamw(RATE), executor="jit")
    lines = lines_of(fdl.train(made, tmp_path / "run", log=None))
    assert [line["step"] for line in lines] == [4, 8, 12]
    np.testing.assert_allclose([line["learning_rate"] for line in lines], [float(RATE(s)) for s in (3, 7, 11)], 1e-6)
    gradient, state, norms = steps.total_gradient(made.model, made.task), made.init(), []
    step = jax.jit(steps.train_step(gradient, made.optimizer))
    source, rows = made.dataset.load("train"), training(made, jit()).rows
    for i in range(4):
        batch = source.fetch(np.asarray(rows(i, 1).indices[0]))
        grads, _, sums = gradient(state, batch)
        norms.append(float(optax.tree_utils.tree_norm(grads) / sums["loss"].weight))
        state, _ = step(state, batch)
    assert lines[0]["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-4)
    for line in lines:
        assert line["examples_per_second"] == pytest.approx(8 * line["steps_per_second"])
        assert 0 <= line["input_wait"] <= 1


def test_the_norm_is_one_that_the_optimizer_computes_and_the_bits_of_training_are_as_without(monkeypatch):
    clipping = optim.clips
    for optimizer in (optim.adamw(RATE), optim.sgd(0.1, clip=1.0)):
        made = tiny.experiment(optimizer=optimizer)
        found = []
        for clips in (clipping, lambda optimizer: False):
            monkeypatch.setattr("fdl.engine.program.optim.clips", clips)
            program, state = training(made, jit()), jit().put_state(made.init())
            for step in range(0, 12, 4):
                state, sums = program.call(state, program.rows(step, 4))
            text = program.call.compiled[4].as_text()
            found.append((jax.tree.leaves(state._replace(key=0)), len(re.findall(r"\breduce\(", text)), set(sums)))
        (with_norm, reduces, names), (without, fewer, others) = found
        assert names - others == {"gradient_norm"}
        assert reduces == fewer, "XLA merges the norm with that of the clipping"
        for a, b in zip(with_norm, without, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(
    ("optimizer", "clips"),
    [
        (optim.adamw(0.1), True),
        (optim.muon(0.1, clip=None), False),
        (optim.sgd(0.1), False),
        (optim.ema(optim.adamw(0.1)), True),
        (optim.frozen(optim.adamw(0.1), ["Dense_0"]), False),
        (optax.adam(0.1), False),
    ],
)
def test_only_an_optimizer_that_clips_all_gradients_first_tells_their_norm(optimizer, clips):
    assert optim.clips(optimizer) is clips


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.adamw(RATE, weight_decay=0.1),
        optim.sgd(0.01, momentum=0.9, weight_decay=0.01),
        optim.muon(RATE),
        optim.ema(optim.frozen(optim.adamw(0.01), ["Dense_0"])),
    ],
)
def test_the_ratio_is_that_of_the_last_update(optimizer):
    made = tiny.experiment(optimizer=optimizer, batch_size=40)
    gradient, state = steps.total_gradient(made.model, made.task), made.init()
    step, batch = jax.jit(steps.train_step(gradient, optimizer)), tiny.batch(made, np.ones(40))
    for _ in range(10):
        before, (state, _) = state.params, step(state, batch)
    moved = optax.tree_utils.tree_norm(jax.tree.map(np.subtract, state.params, before)) / optax.tree_utils.tree_norm(
        before
    )
    ratio = jax.jit(lambda state: update_ratio(optimizer, state.opt_state, state.params))(state)
    assert float(ratio) == pytest.approx(float(moved), rel=0.15)


@pytest.mark.parametrize("executor", ["jit", "pmap", "mesh"])
def test_a_long_run_tells_the_ratio_on_every_executor(tmp_path, monkeypatch, executor):
    monkeypatch.setattr(measures, "LONG", 0)
    made = tiny.experiment(optimizer=optim.adamw(0.01), executor=executor, steps=8)
    lines = lines_of(fdl.train(made, tmp_path / executor, log=None))
    assert all(0 < line["update_ratio"] < 1 for line in lines)
    assert all(line["learning_rate"] == 0.01 for line in lines)


def test_the_speed_is_that_since_the_last_line_and_survives_a_checkpoint():
    progress, calls = Progress(), [{"loss": Sum(np.ones(5), np.ones(5))}] * 2
    progress.add_calls(calls, 3.0, 1.0, waited=0.5)
    progress = Progress.from_json(progress.as_json())
    progress.add_calls(calls, 2.0, 0.0, waited=0.5)
    assert progress.speed(8) == {"steps_per_second": 5.0, "examples_per_second": 40.0, "input_wait": 0.25}
    assert progress.speed(8) == {}
