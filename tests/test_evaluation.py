import jax
import numpy as np
import pytest

import tiny
from fdl import feed, steps
from fdl.executors import Call, jit, mesh, pmap
from fdl.experiment import place
from fdl.program import Evaluation
from fdl.types import add_up


@pytest.mark.parametrize(("executor_of", "count"), [(jit, 1), (mesh, 2), (pmap, 2), (mesh, 8), (pmap, 8)])
def test_every_example_counts_once(executor_of, count):
    made = tiny.experiment(dataset=tiny.dataset({"train": 40, "test": 33}))
    source, state = made.dataset.load("test"), made.init()
    outputs = np.asarray(made.model.apply({"params": state.params}, source.arrays[0]), np.float64)
    each = np.log(np.exp(outputs).sum(1)) - outputs[np.arange(33), source.arrays[1]]
    right = outputs.argmax(1) == source.arrays[1]

    executor = executor_of(jax.devices()[:count])
    call = Call(
        executor, steps.fuse(steps.gather(steps.eval_step(made.model, made.task), source.take)), (source.arrays,)
    )
    state = executor.put_state(state)
    for size in range(1, 34):
        rows = feed.evaluation_rows(batch_size=8, size=size)
        sums = []
        for index in range(len(rows.indices)):
            state, more = call(state, jax.tree.map(lambda x, i=index: x[i : i + 1], rows))
            sums.append(jax.device_get(more))
        metrics = made.task.finish(add_up(sums))
        assert add_up(sums)["n"].total == size
        np.testing.assert_allclose(metrics["loss"], each[:size].mean(), rtol=2e-6)
        assert metrics["accuracy"] == pytest.approx(right[:size].mean(), abs=1e-9)
        assert np.sum(metrics["confusion"]) == size


@pytest.mark.parametrize("size", [1, 8, 11])
def test_the_result_says_n(size):
    made = tiny.experiment(dataset=tiny.dataset({"train": 40, "test": size}), executor="mesh")
    executor = place(made)
    assert Evaluation(made, executor, "test")(executor.put_state(made.init()))[1]["n"] == size


def test_evaluation_gives_the_state_back_unchanged():
    made = tiny.experiment()
    executor = place(made)
    state = executor.put_state(made.init())
    after, _ = Evaluation(made, executor, "test")(state)
    tiny.same(after.params, made.init().params)
