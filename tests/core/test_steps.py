import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tiny
from fdl.core import steps
from fdl.core.types import Batch, Rows
from fdl.engine.program import step_of
from fdl.parallel import compiled, executors

RAGGED = np.where(np.arange(16) < 12, np.linspace(0.1, 2.0, 16), 0)  # on 8 devices two shards are all padding


def after(made, batch, count=5, step=None):
    """The state and the last sums after some steps on one batch."""
    run = jax.jit(step or step_of(made))
    state = made.init()
    for _ in range(count):
        state, sums = run(state, batch)
    return jax.device_get((state, sums))


@pytest.mark.parametrize("make", [tiny.experiment, tiny.convolutional])
@pytest.mark.parametrize("count", [1, 8])
def test_executors_agree(make, count):
    made = make()
    batch = tiny.batch(made, RAGGED)
    chunk = jax.tree.map(lambda x: x[None], batch)
    state, sums = after(made, batch)
    for executor_of in executors.EXECUTORS.values():
        executor = executor_of(jax.devices()[:count])
        call = compiled.Call(executor, steps.fuse(step_of(made)))
        other = executor.put_state(made.init())
        for _ in range(5):
            other, totals = call(other, chunk)
            jax.block_until_ready(totals)
        other, totals = jax.device_get((other, totals))
        tiny.close(other._replace(key=state.key), state)
        tiny.close({k: v.total[0] for k, v in totals.items()}, {k: v.total for k, v in sums.items()}, 5e-6)


def test_fused_equals_looped():
    made = tiny.experiment()
    chunk = jax.tree.map(lambda *x: np.stack(x), *[tiny.batch(made, np.ones(8))] * 4)
    fused, sums = jax.jit(steps.fuse(step_of(made)))(made.init(), chunk)
    looped, last = after(made, tiny.batch(made, np.ones(8)), 4)
    tiny.close(fused._replace(key=looped.key), looped)
    assert sums["loss"].total.shape == (4,)
    np.testing.assert_allclose(sums["loss"].total[-1], last["loss"].total, rtol=1e-6)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_equals_big_batch(parts):
    made = tiny.experiment(model=tiny.MLP(outputs=3, hidden=(8,)))
    batch = tiny.batch(made, RAGGED)
    gradient = steps.accumulate(steps.total_gradient(made.model, made.task), parts)
    state, sums = after(made, batch, step=steps.train_step(gradient, made.optimizer))
    whole, totals = after(made, batch)
    tiny.close(state, whole)
    tiny.close(sums, totals, 2e-6)


def test_padding_does_not_change_the_update():
    made = tiny.convolutional(dropout=0.0)
    batch = tiny.batch(made, np.ones(8))
    junk = Batch(np.full_like(batch.inputs, 1e3), np.zeros_like(batch.targets), np.zeros_like(batch.weights))
    padded = jax.tree.map(lambda a, b: np.concatenate([a, b]), batch, junk)
    tiny.close(after(made, padded)[0], after(made, batch)[0])


def test_a_batch_that_weighs_nothing_changes_nothing_and_is_no_nan():
    made = tiny.experiment(optimizer=optax.sgd(0.1))
    state, sums = after(made, tiny.batch(made, np.zeros(8)), 1)
    tiny.same(state.params, jax.device_get(made.init().params))
    assert sums["loss"].total == 0


def test_gathered_rows_are_the_examples_themselves():
    made = tiny.experiment()
    source = made.dataset.load("train")
    rows = Rows(np.arange(8, dtype=np.int32), np.ones(8, np.float32))
    gathered = steps.take_rows(step_of(made), source.take)
    left, _ = jax.jit(gathered)(made.init(), rows, jax.tree.map(jnp.asarray, source.arrays))
    right, _ = after(made, tiny.batch(made, np.ones(8)), 1)
    tiny.close(left._replace(key=right.key), right)


def test_the_key_is_never_advanced_and_each_step_draws_anew():
    made = tiny.experiment()
    state = made.init()
    later, _ = after(made, tiny.batch(made, np.ones(8)), 1)
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(later.key))
    keys = [steps.step_key(state._replace(step=jnp.int32(i)), purpose) for i in range(3) for purpose in range(2)]
    assert len({tuple(np.asarray(jax.random.key_data(key))) for key in keys}) == 6


def test_a_call_never_recompiles_silently():
    made = tiny.experiment()
    executor = executors.jit()
    call = compiled.Call(executor, steps.fuse(step_of(made)))
    chunk = jax.tree.map(lambda x: x[None], tiny.batch(made, np.ones(8)))
    state, _ = call(executor.put_state(made.init()), chunk)
    smaller = jax.tree.map(lambda x: x[:, :4], chunk)
    with pytest.raises(ValueError, match=r"chunk/\S+ was float32\[1, 8.* and is float32\[1, 4"):
        call(state, smaller)


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")  # of course not: the leaf changes
def test_a_leaf_that_changes_is_named_and_not_compiled_for():
    def widening(state, batch):
        return state._replace(params={"w": state.params["w"].astype(jnp.float32)}), {"loss": batch.sum()}

    call = compiled.Call(executors.jit(), steps.fuse(widening))
    state = steps.TrainState(jnp.int32(0), {"w": jnp.zeros(3, jnp.bfloat16)}, (), {}, jax.random.key(0))
    state, _ = call(state, np.ones((1, 4), np.float32))
    with pytest.raises(ValueError, match=r"params/w was bfloat16\[3\] on \S+ and is float32\[3\]"):
        call(state, np.ones((1, 4), np.float32))


def test_a_leaf_that_moves_is_named_and_not_compiled_for():
    made, (here, there) = tiny.experiment(), jax.devices()[:2]
    call = compiled.Call(executors.jit([here]), steps.fuse(step_of(made)))
    chunk = jax.tree.map(lambda x: x[None], tiny.batch(made, np.ones(8)))
    state, _ = call(call.executor.put_state(made.init()), chunk)
    with pytest.raises(ValueError, match=r"state/step was int32\[\] on \S+0 and is int32\[\] on \S+1"):
        call(jax.device_put(state, there), chunk)
