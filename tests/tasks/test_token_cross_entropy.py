"""The loss of logits that are never all there equals the loss of logits that are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from fdl.core import steps
from fdl.core.types import Batch, TokenLogits
from fdl.data.datasets.synthetic import synthetic_tokens
from fdl.models import BERT, MaskedLM, gpt
from fdl.models.kernels import token_head
from fdl.parallel.executors import jit, mesh, pmap
from fdl.tasks import masked_token, next_token, token_cross_entropy
from fdl.tasks.sums import token_sums

B, T, D, V = 3, 7, 8, 11


@pytest.fixture(autouse=True)
def short_slices(monkeypatch):
    monkeypatch.setattr(
        token_cross_entropy, "SLICE_BYTES", 4 * B * 128 * 2
    )  # two positions, four slices, one filled up


def drawn(bias: bool, dtype=jnp.float32) -> tuple[TokenLogits, Batch]:
    random = np.random.default_rng(0)
    hidden = jnp.asarray(random.normal(size=(B, T, D)), dtype)
    table = jnp.asarray(random.normal(size=(V, D)), jnp.float32)
    logits = TokenLogits(hidden, table, jnp.asarray(random.normal(size=V), jnp.float32) if bias else None)
    weights = random.choice([0.0, 1.0, 0.5], (B, T)).astype(np.float32)
    return logits, Batch(None, jnp.asarray(random.integers(0, V, (B, T)), jnp.int32), jnp.asarray(weights))


def multiplied(logits: TokenLogits) -> jax.Array:
    return token_head.token_logits(*logits)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)])
def test_it_is_the_loss_of_the_logits_and_has_its_gradient(bias, dtype, tolerance):
    logits, batch = drawn(bias, dtype)

    def sums(function):
        def loss(logits):
            found = token_sums(function(logits), batch)
            return 3 * found["loss"].total, found  # whatever scales the total scales the gradient

        return jax.jit(jax.grad(loss, has_aux=True))(logits)

    try:
        whole, found = sums(multiplied)
    except jax.errors.JaxRuntimeError as error:  # of jaxlib 0.7 on some CPUs, which no form can do without
        if "BF16" not in str(error):
            raise
        pytest.skip(f"no product of bfloat16 into float32 on this CPU: {error}")
    sliced, same = sums(lambda logits: logits)
    tiny.close(found, same, tolerance)
    tiny.close(whole, sliced, tolerance)


def test_guesses_are_those_of_argmax_on_ties():
    logits, batch = drawn(False)
    flat = logits._replace(hidden=jnp.zeros_like(logits.hidden))  # all logits are equal, so the guess is token 0
    expected = float(jnp.sum((batch.targets == 0) * batch.weights))
    assert (
        float(token_sums(flat, batch)["correct"].total)
        == expected
        == pytest.approx(float(token_sums(multiplied(flat), batch)["correct"].total))
    )


def test_what_weighs_nothing_may_be_nan_and_changes_nothing():
    logits, batch = drawn(True)
    lost = logits._replace(hidden=jnp.where((batch.weights == 0)[..., None], jnp.nan, logits.hidden))
    grad = jax.grad(lambda x: token_sums(x, batch)["loss"].total)
    tiny.close(token_sums(lost, batch), token_sums(logits, batch), 1e-6)
    tiny.close(grad(lost).bias, grad(logits).bias, 1e-6)


def test_slices_hold_so_many_bytes():
    assert token_cross_entropy.slices(B, T, 128) == 4
    assert token_cross_entropy.slices(1, 1, 10**9) == 1


@pytest.mark.parametrize(
    ("executor", "count", "shape"),
    [
        (jit, 1, None),
        (pmap, 2, None),
        (mesh, 4, None),
        (mesh, 4, {"data": 2, "fsdp": 2}),
        (mesh, 4, {"model": 2, "data": 2}),
    ],
)
@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_every_executor_takes_the_same_steps_with_sliced_logits(kind, executor, count, shape, monkeypatch):
    if kind == "gpt":
        model, task = gpt(40, width=16, depth=1, heads=2, context=8), next_token()
    else:
        model, task = MaskedLM(BERT(40, 16, 1, 2, 8, pooler=False, dropout=0.0)), masked_token()
    data = synthetic_tokens(8, vocabulary=40)
    made = tiny.experiment(model=model, dataset=data, task=task)
    source, state = data.load("train"), made.init()
    batch = jax.tree.map(lambda x: x[None], source.fetch(np.arange(8)))
    train = steps.train_step(steps.total_gradient(model, task), made.optimizer)

    def run(place):
        call = place.compile(
            steps.fuse(train), *(args := (place.put_state(jax.tree.map(jnp.copy, state)), place.put_chunk(batch)))
        )
        return jax.device_get(call(*args))

    plain = run(jit(jax.devices()[:1]))
    monkeypatch.setattr(token_head, "MIN_VOCABULARY", 8)
    monkeypatch.setenv("FDL_KERNELS", "token_head=custom")
    devices = jax.devices()[:count]
    tiny.close(run(executor(devices, shape) if shape else executor(devices)), plain, 2e-5)


def test_a_task_that_takes_logits_alone_is_given_logits(monkeypatch):
    monkeypatch.setattr(token_head, "MIN_VOCABULARY", 8)
    monkeypatch.setenv("FDL_KERNELS", "token_head=custom")
    model = gpt(40, width=16, depth=1, heads=2, context=8)
    seen = []

    def sums(outputs, batch):
        seen.append(type(outputs))
        return token_sums(outputs, batch)

    task = next_token()
    made = tiny.experiment(model=model, dataset=synthetic_tokens(8, vocabulary=40), task=replace(task, sums=sums))
    for factored in (True, False):
        jax.eval_shape(
            steps.total_gradient(model, replace(made.task, factored=factored)), made.abstract(), made.example(2)
        )
    assert seen[0] is TokenLogits
    assert seen[1] is not TokenLogits
