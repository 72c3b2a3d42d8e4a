import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import tiny
from fdl import optim
from fdl.core.steps import fuse
from fdl.data.dataset import Dataset, Spec, columns, shape_of
from fdl.engine.checks import check
from fdl.engine.placement import make_executor
from fdl.engine.program import step_of
from fdl.experiment import Experiment
from fdl.models import Transformer
from fdl.parallel import compiled, executors, sharding
from fdl.tasks import next_token


def writer() -> Experiment:
    """A small causal Transformer with dropout on random tokens."""
    tokens = np.random.default_rng(0).integers(0, 32, (16, 9)).astype(np.int32)

    def load(split: str):
        return columns(tokens[:, :-1], tokens[:, 1:])

    arrays = load("train").arrays
    spec = Spec(inputs=shape_of(arrays[0]), targets=shape_of(arrays[1]), sizes={"train": 16}, vocabulary=32)
    return tiny.experiment(
        model=Transformer(32, 32, 16, 1, 4, context=8, causal=True, return_sequences=True, dropout=0.2),
        dataset=Dataset(name="tokens", spec=spec, load=load),
        task=next_token(),
        optimizer=optim.sgd(0.1),
    )


def after_two_steps(made: Experiment, state, executor: executors.Executor):
    batches = [tiny.batch(made, np.array([1] * 7 + [0])) for _ in range(2)]
    chunk = jax.tree.map(lambda *x: np.stack(x), *batches)
    return compiled.Call(executor, fuse(step_of(made)))(executor.put_state(jax.tree.map(jnp.copy, state)), chunk)


@pytest.mark.parametrize("make", [writer, tiny.convolutional])
def test_axes_do_not_change_the_numbers(make) -> None:
    made = make()
    start = made.init()
    state, sums = after_two_steps(made, start, executors.jit())
    split, split_sums = after_two_steps(
        made, start, make_executor(tiny.replace(made, mesh={"data": 2, "fsdp": 2, "model": 2}))
    )
    tiny.close(sums, split_sums, 1e-5)
    tiny.close(state, split, 1e-5)


def test_each_device_makes_its_own_part_of_the_first_state() -> None:
    made = writer()
    executor = make_executor(tiny.replace(made, mesh={"data": 2, "fsdp": 2, "model": 2}))
    state = executor.make_state(made.init)
    tiny.close(state, made.init(), 1e-6)
    assert jax.tree.map(lambda x: x.sharding, state) == executor.layout(made.abstract())


def held(state) -> int:
    """The bytes that the first device holds of a state."""
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))


def test_memory_on_each_device_falls() -> None:
    made = writer()
    made = tiny.replace(made, optimizer=optax.adam(0.1), model=made.model.clone(width=64, depth=2))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tuple(made.abstract())[1:3])
    whole = held(executors.jit().put_state(state))
    for shape, most in (({"fsdp": 8}, 0.2), ({"model": 8}, 0.6), ({"data": 2, "fsdp": 2, "model": 2}, 0.4)):
        executor = make_executor(tiny.replace(made, mesh=shape))
        placed = executor.put_state(state)
        assert held(placed) < most * whole, shape
        assert held(placed) == executor.bytes_per_device(placed)
        assert held(placed) == executor.bytes_per_device(tuple(made.abstract())[1:3])


def test_the_moments_lie_where_their_parameters_do() -> None:
    made = tiny.replace(writer(), optimizer=optax.adam(0.1), mesh={"data": 2, "model": 4})
    state = make_executor(made).layout(made.abstract())
    block = state.params["Block_0"]
    query = block["attention"]["query"]["kernel"].spec
    assert query == P(None, "model", None)
    assert block["up"]["kernel"].spec == P(None, "model")
    assert block["down"]["kernel"].spec == P("model", None)
    assert state.opt_state[0].mu["Block_0"]["attention"]["query"]["kernel"].spec == query


def test_what_does_not_divide_stays_whole() -> None:
    axes = {"fsdp": 4, "model": 4}
    assert sharding.partition_spec((64, 6, 16), ("width", "heads", "head"), axes) == P("fsdp", None, None)
    assert sharding.partition_spec((63, 65), (), axes) == P(None, None)
    assert sharding.partition_spec((8,), (), axes) == P(None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mesh": {"data": 3}}, "mesh data:3 takes 3 devices and there are 8"),
        ({"mesh": {"tensor": 8}}, "mesh axis 'tensor' is not one of data, fsdp, model"),
        ({"mesh": {"data": 8}, "executor": "pmap"}, "mesh data:8 needs executor mesh, not pmap"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(changes, words) -> None:
    with pytest.raises(ValueError, match=words):
        make_executor(tiny.experiment(**changes))


def test_only_the_axes_of_the_batch_divide_it() -> None:
    made = tiny.experiment(mesh={"data": 2, "model": 4}, batch_size=6)
    check(made, make_executor(made).num_shards)
    with pytest.raises(ValueError, match="batch_size 6 does not divide over 4 devices"):
        check(made, 4)
