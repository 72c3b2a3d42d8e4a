import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fdl
import tiny
from fdl import optim
from fdl.core import lora, steps
from fdl.core.optimizer_state import ema
from fdl.engine.options import apply_options, with_ema, with_lora
from fdl.engine.placement import make_executor
from fdl.engine.program import step_of
from fdl.models import Transformer
from fdl.models.leaf_names import nested
from fdl.models.published.weight_files import read_tensors
from fdl.modes.export import export
from fdl.modes.train import train
from fdl.parallel import compiled, executors
from fdl.runs.checkpoints.manager import Checkpoints

PARAMS = {
    "body": {"kernel": jnp.arange(12.0).reshape(4, 3) / 10, "bias": jnp.ones(3)},
    "head": {"kernel": jnp.ones((3, 5)), "bias": jnp.zeros(5)},
}


def loss(params):
    hidden = jnp.tanh(jnp.linspace(-1.0, 1.0, 4) @ params["body"]["kernel"] + params["body"]["bias"])
    return jnp.sum((hidden @ params["head"]["kernel"] + params["head"]["bias"] - 1) ** 2)


def test_it_computes_what_differentiating_the_sum_does() -> None:
    """The reference keeps W and trains A and B of W + (alpha / rank) A B by the same optimizer, as the paper has it."""
    optimizer = optim.lora(optax.adam(0.05), 2, ["body"], fresh=["head"], alpha=6.0, seed=3)
    params, state = PARAMS, optimizer.init(PARAMS)
    trained = {"body": state.adapters["body"]["kernel"], "head": PARAMS["head"]}
    adam = optax.adam(0.05)
    reference_state = adam.init(trained)

    def merged(trained):
        body = {
            **PARAMS["body"],
            "kernel": PARAMS["body"]["kernel"] + 3.0 * trained["body"].lora_a @ trained["body"].lora_b,
        }
        return {"body": body, "head": trained["head"]}

    tiny.same(merged(trained), PARAMS)  # no difference at the start, bit for bit
    for _ in range(20):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        updates, reference_state = adam.update(jax.grad(lambda x: loss(merged(x)))(trained), reference_state, trained)
        trained = optax.apply_updates(trained, updates)
    tiny.close(params, merged(trained), 1e-5)
    assert np.abs(params["body"]["kernel"] - PARAMS["body"]["kernel"]).max() > 0.1
    tiny.same(params["body"]["bias"], PARAMS["body"]["bias"])


@pytest.mark.parametrize(
    ("rank", "modules", "count"),
    [
        (2, ["query", "value"], 2 * 2 * 2 * (8 + 8)),  # two blocks, two kernels in each
        (4, ["attention"], 2 * 4 * 4 * (8 + 8)),
        (1, ["Block_1/attention", "down"], 4 * (8 + 8) + 2 * (32 + 8)),
        (2, [], 2 * 2 * (4 * (8 + 8) + 2 * (8 + 32)) + 2 * (8 + 3)),
        (2, ["embed"], 2 * (11 + 8)),
    ],
)
def test_as_many_parameters_are_trained_as_the_paper_counts(rank, modules, count) -> None:
    model = Transformer(3, vocabulary=11, width=8, depth=2, heads=2, context=6)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 6), jnp.int32)))["params"]
    state = jax.eval_shape(optim.lora(optax.adam(0.1), rank, modules).init, params)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.adapters)) == count
    assert sum(leaf.size for leaf in jax.tree.leaves(state.inner) if leaf.ndim) == 2 * count  # Adam's two moments
    whole = steps.TrainState(jnp.int32(0), params, (state,), {}, jax.random.key(0))
    assert f"of rank {rank} train {count:,} parameters" in lora.summary(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2:atention", "no module with a kernel is named 'atention'; there are Dense_0; Dense_1"),
        ("8:Dense_1", r"rank 8 is no less than the 3 of Dense_1/kernel \[8, 3\]; give a lower rank"),
        ("8", "rank 8 is no less than that of any kernel; give a lower rank"),
        ("0:Dense_0", "rank 0 is no rank"),
        ("attention", "write 8, 8:attention or 8:query,value"),
        ("8:", "write 8, 8:attention or 8:query,value"),
        ("-1:Dense_0", "write 8, 8:attention or 8:query,value"),
    ],
)
def test_what_adapts_nothing_is_one_line(text, message) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        apply_options(tiny.experiment(init_from=lambda initial: initial), lora=text).abstract()
    assert "\n" not in str(raised.value)


def test_random_weights_and_an_average_of_adapters_are_refused() -> None:
    with pytest.raises(ValueError, match="starts from random ones; add --init=RUN"):
        with_lora(tiny.experiment(), "2:Dense_0")
    averaged = tiny.experiment(init_from=lambda initial: initial, optimizer=ema(optax.sgd(0.1)))
    with pytest.raises(ValueError, match="put ema around lora"):
        with_lora(averaged, "2:Dense_0").abstract()
    with_ema(with_lora(tiny.experiment(init_from=lambda initial: initial), "2:Dense_0"), 0.9).abstract()


def test_every_executor_trains_the_same_and_statistics_stay() -> None:
    """A pretrained body below a new head: the head is trained whole, the body by adapters and in evaluation mode."""
    plain = tiny.convolutional(dropout=0.0)

    def load(initial):
        return initial

    load.fresh = ("Dense_1",)
    made = with_lora(replace(plain, init_from=load), "2:Conv_0,Dense_0")
    start = made.init()
    tiny.same(start.params, plain.init().params)
    chunk = jax.tree.map(lambda x: np.stack([x, x]), tiny.batch(made, np.ones(16)))
    ends = {}
    for executor in (executors.jit(), executors.pmap(), make_executor(replace(made, mesh={"data": 2, "fsdp": 4}))):
        call = compiled.Call(executor, steps.fuse(step_of(made)))
        ends[executor.name], _ = call(executor.put_state(jax.tree.map(jnp.copy, start)), chunk)
    assert len(ends) == 3
    state = jax.device_get(ends["jit"])
    for other in ends.values():
        tiny.close(jax.device_get(other).params, state.params, 1e-5)
    tiny.same(state.model_state, start.model_state)
    tiny.same(state.params["BatchNorm_0"], start.params["BatchNorm_0"])
    for moved in ("Conv_0", "Dense_0", "Dense_1"):
        assert np.any(state.params[moved]["kernel"] != start.params[moved]["kernel"]), moved


def test_a_run_of_adapters_resumes_and_is_merged_wherever_it_is_read(tmp_path) -> None:
    fdl.train(tiny.experiment(), tmp_path / "base", log=None)
    made = apply_options(
        tiny.experiment(save_every=4), init=str(tmp_path / "base"), fresh=["Dense_1"], lora="2:Dense_0"
    )
    assert made.identity()["lora"] == "2:Dense_0"
    logged: list[str] = []
    train(made, tmp_path / "run", log=logged.append)
    assert any("LoRA: 1 adapters of rank 2 train 26 parameters" in line for line in logged), logged

    # The weights are the base and the product of the adapters, everywhere.
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    state = checkpoints.restore(12, made.abstract())
    adapter = state.opt_state.adapters["Dense_0"]["kernel"]
    base = made.init().params["Dense_0"]
    found = fdl.restore(tmp_path / "run", "last", experiment=made)
    tiny.close(found.params["Dense_0"]["kernel"], base["kernel"] + adapter.lora_a @ adapter.lora_b, 1e-5)
    tiny.same(found.params["Dense_0"]["bias"], base["bias"])
    file = export(made, tmp_path / "run", format="safetensors", log=None)
    tiny.same(nested(read_tensors(file))["params"], found.params)

    # Without its last checkpoint it goes on from the one before, to the same bits.
    shutil.rmtree(checkpoints.folder / "12")
    (tmp_path / "run" / "report.json").unlink()
    train(made, tmp_path / "run", log=None)
    tiny.same(checkpoints.restore(12, made.abstract()), state)
