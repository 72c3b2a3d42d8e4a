"""Wrappers of optimizers compute the same wherever they are nested."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import tiny
from fdl import optim
from fdl.core import optimizer_state, steps
from fdl.core.forward import forward
from fdl.core.types import Batch, Sum, TrainState
from fdl.models import MLP
from fdl.tasks import classify

CLIP, SGD = optax.clip_by_global_norm(0.05), optax.sgd(0.1, momentum=0.9)
PLAIN = optax.chain(CLIP, SGD)
DECAY = 0.6
averaged, scaled = (lambda inner: optim.ema(inner, DECAY)), optim.dynamic_loss_scale
injected = optax.inject_hyperparams(lambda rate: optax.chain(CLIP, averaged(scaled(optax.sgd(rate, momentum=0.9)))))
# nested in every way -> the same without what is nested
NESTED = {
    "scaled(plain)": (scaled(PLAIN), PLAIN),
    "chain(clip, scaled)": (optax.chain(CLIP, scaled(SGD)), PLAIN),
    "chain(scaled, sgd)": (optax.chain(scaled(CLIP), SGD), PLAIN),
    "averaged(plain)": (averaged(PLAIN), PLAIN),
    "chain(clip, averaged)": (optax.chain(CLIP, averaged(SGD)), PLAIN),
    "chain(averaged, sgd)": (optax.chain(averaged(CLIP), SGD), PLAIN),
    "averaged(scaled)": (averaged(optax.chain(CLIP, scaled(SGD))), PLAIN),
    "scaled(averaged)": (scaled(optax.chain(averaged(CLIP), SGD)), PLAIN),
    "injected": (injected(rate=0.1), PLAIN),
    "groups": (optim.groups({"Dense_0": scaled(averaged(SGD))}, rest=averaged(SGD)), SGD),
    "scaled(groups)": (scaled(optim.groups({"Dense_1": averaged(SGD)}, rest=averaged(SGD))), SGD),
    "frozen(scaled)": (optim.frozen(scaled(averaged(PLAIN)), ["Dense_0"]), optim.frozen(PLAIN, ["Dense_0"])),
    "scaled(frozen)": (averaged(scaled(optim.frozen(PLAIN, ["Dense_0"]))), optim.frozen(PLAIN, ["Dense_0"])),
    "chain(clip, frozen)": (
        optax.chain(CLIP, optim.frozen(averaged(scaled(SGD)), ["Dense_0"])),
        optax.chain(CLIP, optim.frozen(SGD, ["Dense_0"])),
    ),
}


def path(optimizer: optax.GradientTransformation, parts: int) -> list[TrainState]:
    """The states after none, one, two and three steps, in micro-batches of which the last weighs nothing."""
    made = tiny.experiment(model=MLP(outputs=3, hidden=(4,)), optimizer=optimizer)
    gradient = steps.accumulate(steps.total_gradient(made.model, made.task), parts)
    step, states = jax.jit(steps.train_step(gradient, optimizer)), [made.init()]
    for _ in range(3):
        states.append(step(states[-1], tiny.batch(made, np.array([1.0, 2, 0, 1, 1, 0.5, 0, 0])))[0])
    return states


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("name", NESTED)
def test_every_nesting_computes_what_the_optimizer_inside_does(name: str, parts: int) -> None:
    nested, plain = NESTED[name]
    ours, theirs = path(nested, parts), path(plain, parts)
    tiny.same(ours[-1].params, theirs[-1].params)
    if "scaled" in name or name in ("injected", "groups"):
        assert optimizer_state.loss_scale(ours[-1].opt_state) == 2.0**15
    if name not in ("scaled(plain)", "chain(clip, scaled)", "chain(scaled, sgd)"):
        expected = theirs[0].params
        for count, state in enumerate(theirs[1:]):
            keep = min(DECAY, (1 + count) / (10 + count))
            expected = jax.tree.map(lambda a, w, d=keep: d * a + (1 - d) * w, expected, state.params)
        tiny.close(optimizer_state.evaluated(ours[-1].params, ours[-1].opt_state), expected, 1e-6)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (optim.groups({"Dense_0": scaled(SGD)}, rest=scaled(SGD)), "2 loss scales, and there is one loss"),
        (averaged(optax.chain(CLIP, averaged(SGD))), "two moving averages of the same weights"),
    ],
)
def test_wrappers_that_contradict_each_other_are_refused(optimizer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.experiment(optimizer=optimizer).init()


@pytest.mark.parametrize("nested", [scaled(averaged(PLAIN)), optax.chain(optax.trace(0.9), averaged(scaled(SGD)))])
def test_an_update_that_overflows_is_counted_and_changes_nothing_but_the_scale(nested) -> None:
    made = tiny.experiment(optimizer=nested)
    batch, state = tiny.batch(made, np.ones(8)), made.init()

    def overflowing(state: TrainState, batch: Batch):
        grads, model_state, sums = steps.total_gradient(made.model, made.task)(state, batch)
        return jax.tree.map(lambda g: g.at[..., 0].set(jnp.inf), grads), model_state, sums

    state, sums = jax.jit(steps.train_step(steps.total_gradient(made.model, made.task), nested))(state, batch)
    assert sums["skipped"].total == 0
    after, sums = jax.jit(steps.train_step(overflowing, nested))(state, batch)
    assert sums["skipped"].total == 1
    assert optimizer_state.loss_scale(after.opt_state) == 2.0**14
    for name, leaf in jax.tree_util.tree_leaves_with_path(after.opt_state):
        before = dict(jax.tree_util.tree_leaves_with_path(state.opt_state))[name]
        if not jax.tree_util.keystr(name).endswith((".scale", ".since")):
            np.testing.assert_array_equal(leaf, before, err_msg=jax.tree_util.keystr(name))
    tiny.same(after.params, state.params)
    assert after.step == state.step + 1


def test_a_scale_doubles_after_patience_and_stays_within_its_bounds() -> None:
    optimizer = optim.dynamic_loss_scale(optax.sgd(0.1), start=8.0, patience=2)
    params, state = {"w": jnp.ones(2)}, optimizer.init({"w": jnp.ones(2)})
    for good, expected in ((False, 4.0), (True, 4.0), (True, 8.0), (True, 8.0), (True, 16.0), (False, 8.0)):
        _, new = optimizer.update({"w": jnp.ones(2)}, state, params)
        state = optimizer_state.select(jnp.bool_(good), new, state)
        assert float(state.scale) == expected
    for good, bound in ((True, optimizer_state.MAX_SCALE), (False, optimizer_state.MIN_SCALE)):
        state = state._replace(scale=jnp.float32(bound), since=jnp.int32(1))
        _, new = optimizer.update({"w": jnp.ones(2)}, state, params)
        assert float(optimizer_state.select(jnp.bool_(good), new, state).scale) == bound


class Half(nn.Module):
    """One neuron in float16."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(2, dtype=jnp.float16)(x)


@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e6, 1e9])
def test_float16_trains_whatever_the_total_loss_weighs(weight: float) -> None:
    """A total beyond 65,504, of many pixels or of heavy ones, is no gradient that float16 cannot hold."""
    rng = np.random.default_rng(0)
    batch = Batch(rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 2, 8), np.full(8, weight, np.float32))
    optimizer = optim.dynamic_loss_scale(optax.sgd(0.5))
    step = jax.jit(steps.train_step(steps.total_gradient(Half(), classify(2)), optimizer))
    state = steps.init(Half(), optimizer, batch, 0)
    whole = steps.init(Half(), optimizer, batch, 0)
    reference = jax.jit(steps.train_step(steps.total_gradient(Half(), classify(2)), optax.sgd(0.5)))
    whole = whole._replace(opt_state=optax.sgd(0.5).init(whole.params))
    for _ in range(5):
        state, sums = step(state, batch)
        whole, _ = reference(whole, batch._replace(weights=np.ones(8, np.float32)))
        assert sums["skipped"].total == 0
    tiny.close(state.params, whole.params, 2e-3)


def test_a_step_that_is_skipped_for_two_reasons_counts_once() -> None:
    made = tiny.experiment(optimizer=scaled(SGD), nonfinite="skip")
    batch = tiny.batch(made, np.ones(8))
    bad = batch._replace(inputs=batch.inputs.copy())
    bad.inputs[0, 0] = np.inf
    step = jax.jit(steps.skip_nonfinite(steps.train_step(steps.total_gradient(made.model, made.task), made.optimizer)))
    state = made.init()
    after, sums = step(state, bad)
    assert sums["skipped"].total == 1
    assert sums["loss"] == Sum(0, 0)
    tiny.same(after.params, state.params)
    assert step(after, batch)[1]["skipped"].total == 0


def test_frozen_modules_keep_their_batch_statistics_and_normalise_by_them() -> None:
    made = tiny.convolutional(dropout=0.0)
    made = replace(made, optimizer=optax.chain(CLIP, optim.frozen(scaled(SGD), ["BatchNorm_0", "Conv_0"])))
    batch, state = tiny.batch(made, np.ones(16)), made.init()
    statistics = {"batch_stats": {"BatchNorm_0": {"mean": jnp.full(4, 0.3), "var": jnp.full(4, 2.0)}}}
    state = state._replace(model_state=statistics)
    gradient = steps.total_gradient(made.model, made.task)
    after, sums = jax.jit(steps.train_step(gradient, made.optimizer))(state, batch)
    tiny.same(after.model_state, statistics)
    outputs, _ = forward(made.model, state.params, statistics, batch)  # as evaluation sees it
    np.testing.assert_allclose(sums["loss"].total, made.task(outputs, batch)["loss"].total, rtol=1e-6)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), after.params, state.params)
    assert not any(jax.tree.leaves([moved["BatchNorm_0"], moved["Conv_0"]]))
    assert moved["Dense_0"]["kernel"]
