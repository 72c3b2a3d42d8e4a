import weakref

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from fdl.core import data_axis, steps
from fdl.core.types import Sum, add_up
from fdl.data.dataset import columns
from fdl.engine import loader
from fdl.engine.placement import make_executor
from fdl.engine.program import Evaluation, add_up_calls, step_of, training
from fdl.parallel.compiled import Call
from fdl.parallel.executors import jit, mesh, pmap
from fdl.tasks import detect


@pytest.mark.parametrize(("executor_of", "count"), [(jit, 1), (mesh, 2), (pmap, 2), (mesh, 8), (pmap, 8)])
def test_every_example_counts_once(executor_of, count):
    made = tiny.experiment(dataset=tiny.dataset({"train": 40, "test": 33}))
    source, state = made.dataset.load("test"), made.init()
    outputs = np.asarray(made.model.apply({"params": state.params}, source.arrays[0]), np.float64)
    each = np.log(np.exp(outputs).sum(1)) - outputs[np.arange(33), source.arrays[1]]
    right = outputs.argmax(1) == source.arrays[1]

    executor = executor_of(jax.devices()[:count])
    call = Call(
        executor, steps.fuse(steps.take_rows(steps.eval_step(made.model, made.task), source.take)), (source.arrays,)
    )
    state = executor.put_state(state)
    for size in range(1, 34):
        rows = loader.evaluation_rows(batch_size=8, size=size)
        sums = []
        for index in range(len(rows.indices)):
            state, more = call(state, jax.tree.map(lambda x, i=index: x[i : i + 1], rows))
            sums.append(jax.device_get(more))
        metrics = made.task.finish(add_up(sums))
        assert add_up(sums)["n"].total == size
        np.testing.assert_allclose(metrics["loss"], each[:size].mean(), rtol=2e-6)
        assert metrics["accuracy"] == pytest.approx(right[:size].mean(), abs=1e-9)
        assert np.sum(metrics["confusion"]) == size


@pytest.mark.parametrize(("executor", "count"), [(mesh, 8), (pmap, 8)])
def test_average_precision_is_the_same_on_eight_devices_as_on_one(executor, count):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (21, 2, 2))
    boxes = np.concatenate([low, low + 0.4], -1).astype(np.float32)
    targets = {"box": boxes, "label": rng.integers(0, 3, (21, 2), np.int32), "row": np.arange(21, dtype=np.int32)}
    outputs = {
        "class": rng.normal(0, 2, (21, 2, 2, 3)).astype(np.float32),
        "box": boxes[:, [0, 1, 1, 0]].reshape(21, 2, 2, 4) + rng.normal(0, 0.03, (21, 2, 2, 4)).astype(np.float32),
    }
    task = detect(3, rows=21)

    def finished(executor):
        source = columns(outputs, targets)

        def step(state, batch):
            return state, data_axis.add(task(batch.inputs, batch))

        call = Call(executor, steps.fuse(steps.take_rows(step, source.take)), (source.arrays,))
        state, rows, sums = executor.put_state({}), loader.evaluation_rows(batch_size=8, size=21), []
        for index in range(len(rows.indices)):
            state, more = call(state, jax.tree.map(lambda x, i=index: x[i : i + 1], rows))
            sums.append(jax.device_get(more))
        return task.finish(add_up(sums))

    one, several = finished(jit(jax.devices()[:1])), finished(executor(jax.devices()[:count]))
    assert 0.1 < one["map"] < one["map50"] < 0.99
    assert (several["map50"], several["map"]) == (one["map50"], one["map"])


@pytest.mark.parametrize("size", [1, 8, 11])
def test_the_result_says_n(size):
    made = tiny.experiment(dataset=tiny.dataset({"train": 40, "test": size}), executor="mesh")
    executor = make_executor(made)
    assert Evaluation(made, executor, "test")(executor.put_state(made.init()))[1]["n"] == size


def test_evaluation_gives_the_state_back_unchanged():
    made = tiny.experiment()
    executor = make_executor(made)
    state = executor.put_state(made.init())
    after, _ = Evaluation(made, executor, "test")(state)
    tiny.same(after.params, made.init().params)


def test_resident_colour_images_lie_flat_on_the_device():
    made = tiny.experiment(model=tiny.convolutional().model, dataset=tiny.dataset(shape=(4, 4, 3)))
    train = training(made, jit(jax.devices()[:1])).call
    test = Evaluation(made, jit(jax.devices()[:1]), "test").call
    assert [call.constants[0][0].shape for call in (train, test)] == [(40, 48), (11, 48)]


@pytest.mark.parametrize("executor_of", [jit, mesh, pmap])
def test_a_step_is_traced_once_however_often_it_is_called(executor_of):
    chex.clear_trace_counter()
    made, executor = tiny.experiment(), executor_of(jax.devices()[:2])
    call = Call(executor, chex.assert_max_traces(steps.fuse(step_of(made)), n=1))
    state = executor.put_state(made.init())
    for step in range(3):
        batch = made.dataset.load("train").fetch(np.arange(8) + step)
        state, _ = call(state, jax.tree.map(lambda x: x[None], batch))
    assert int(state.step) == 3


def test_the_sums_of_an_evaluation_are_added_at_once_and_not_kept():
    made, held = [], []

    def call(state, chunk):
        total = jnp.full(1, float(chunk))
        made.append(weakref.ref(total))
        held.append(sum(one() is not None for one in made))
        return state + 1, {"n": Sum(total, total)}

    state, added = add_up_calls(call, 0, range(50))
    assert (state, added["n"].total) == (50, 1225)
    assert max(held) <= 3


def test_batches_of_an_evaluation_are_those_of_the_whole():
    whole = loader.evaluation_rows(batch_size=4, size=10)
    for first in range(3):
        part = loader.evaluation_rows(batch_size=4, size=10, first=first, count=1)
        chex.assert_trees_all_equal(part, jax.tree.map(lambda leaf, i=first: leaf[i : i + 1], whole))
