"""Blocks as one loop compute what blocks one by one do, from the same parameters by the same names."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from fdl.core import kernel_choice, steps
from fdl.data.datasets.synthetic import synthetic_tokens
from fdl.models import BERT, MaskedLM, Transformer, ViT, gpt
from fdl.parallel.executors import jit, mesh, pmap
from fdl.tasks import next_token

TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 30, (4, 8)), jnp.int32)
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), jnp.float32)
MODELS = {
    "gpt": (gpt(30, width=16, depth=4, heads=2, context=8), TOKENS, {}),
    "gpt, dots": (gpt(30, width=16, depth=4, heads=2, context=8).clone(remat="dots"), TOKENS, {}),
    "gpt, all": (gpt(30, width=16, depth=4, heads=2, context=8).clone(remat="all"), TOKENS, {}),
    "encoder": (Transformer(3, 30, 16, 4, 2, context=8), TOKENS, {"lengths": jnp.array([8, 3, 1, 5])}),
    "bert": (MaskedLM(BERT(30, 16, 4, 2, 8, pooler=False, dropout=0.0)), TOKENS, {"lengths": jnp.array([8, 3, 1, 5])}),
    "vit": (ViT(3, patch=4, width=16, depth=4, heads=2), IMAGES, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_loop_of_blocks_is_the_blocks_one_by_one(name, monkeypatch):
    model, inputs, more = MODELS[name]
    params = jax.jit(partial(model.init, train=False))(jax.random.key(0), inputs, **more)["params"]

    def value_and_gradient():
        def loss(params):
            return (model.apply({"params": params}, inputs, **more, train=True) ** 2).mean()

        with kernel_choice.noting() as notes:
            return jax.jit(jax.value_and_grad(loss))(params), notes["block_scan"]

    alone, _ = value_and_gradient()
    monkeypatch.setenv(kernel_choice.VARIABLE, "block_scan=custom")
    looped, notes = value_and_gradient()
    assert notes == ["4 blocks as one loop"]
    tiny.close(looped, alone, 1e-5)
    again = jax.jit(partial(model.init, train=False))(jax.random.key(0), inputs, **more)["params"]
    tiny.same(again, params)  # the names and the initial values are those of blocks by themselves


@pytest.mark.parametrize(
    ("executor", "shape"), [(jit, None), (pmap, None), (mesh, {"data": 2, "fsdp": 2}), (mesh, {"data": 2, "model": 2})]
)
def test_every_executor_takes_the_same_steps_with_a_loop(executor, shape, monkeypatch):
    model, data = MODELS["gpt"][0], synthetic_tokens(8, vocabulary=30)
    made = tiny.experiment(model=model, dataset=data, task=next_token())
    state = made.init()
    batch = jax.tree.map(lambda x: x[None], data.load("train").fetch(np.arange(8)))
    train = steps.fuse(steps.train_step(steps.total_gradient(model, made.task), made.optimizer))

    def run(place):
        placed = place.put_state(jax.tree.map(jnp.copy, state)), place.put_chunk(batch)
        return jax.device_get(place.compile(train, *placed)(*placed))

    alone = run(jit(jax.devices()[:1]))
    monkeypatch.setenv(kernel_choice.VARIABLE, "block_scan=custom")
    devices = jax.devices()[: 1 if executor is jit else 4]
    tiny.close(run(executor(devices, shape) if shape else executor(devices)), alone, 2e-5)


def test_blocks_of_a_loop_drop_different_numbers(monkeypatch):
    monkeypatch.setenv(kernel_choice.VARIABLE, "block_scan=custom")
    model = gpt(30, width=16, depth=4, heads=2, context=8, dropout=0.5)
    params = model.init(jax.random.key(0), TOKENS, train=False)["params"]
    run = jax.jit(lambda key: model.apply({"params": params}, TOKENS, train=True, rngs={"dropout": key}))
    one, same, other = (run(jax.random.key(seed)) for seed in (1, 1, 2))
    assert jnp.array_equal(one, same)
    assert not jnp.allclose(one, other)


def test_what_looks_into_blocks_sees_each(monkeypatch):
    monkeypatch.setenv(kernel_choice.VARIABLE, "block_scan=custom")
    model = MODELS["gpt"][0]
    params = model.init(jax.random.key(0), TOKENS, train=False)["params"]
    _, sown = jax.jit(lambda p: model.apply({"params": p}, TOKENS, mutable=["intermediates"]))(params)
    assert len(sown["intermediates"]) == 4
    seen = []

    def watch(call, args, kwargs, context: nn.module.InterceptorContext):
        seen.append(context.module.path)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        model.apply({"params": params}, TOKENS)  # not compiled, as where a number that is not finite is looked for
    assert ("Block_3", "attention") in seen
