"""Every model: shapes, the head in float32, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import random_variables
from fdl.models import CNN, MLP, RNN, VGG, AlexNet, Bag, Perceptron, Transformer, ViT, cifar_resnet, gpt

KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (8, 8, 8, 1))
PICTURES = jnp.ones((2, 32, 32, 3))
TOKENS = jax.random.randint(KEY, (8, 6), 0, 11)

CASES = [
    (Perceptron(4), IMAGES, (8, 4)),
    (MLP(4, hidden=(32,)), IMAGES, (8, 4)),
    (MLP(4, hidden=(32,), norm="batch", dropout=0.1), IMAGES, (8, 4)),
    (CNN(4, channels=(8, 8), hidden=(16,)), IMAGES, (8, 4)),
    (CNN(4, channels=(16,), hidden=(32,), norm="batch"), IMAGES, (8, 4)),
    (CNN(4, channels=(8,), hidden=(), norm="group"), IMAGES[:, :, 0], (8, 4)),
    (CNN(4, channels=(8,), pool_first=True), IMAGES, (8, 4)),
    (CNN(4, channels=(8,), hidden=(), norm="layer"), IMAGES[..., None], (8, 4)),
    (Bag(4, buckets=64), TOKENS, (8, 4)),
    (RNN(4, width=16), IMAGES, (8, 4)),
    (RNN(4, width=16, cell="gru", bidirectional=True), IMAGES, (8, 4)),
    (RNN(4, vocabulary=11, width=16, cell="rnn"), TOKENS, (8, 4)),
    (RNN(11, vocabulary=11, width=16, return_sequences=True), TOKENS, (8, 6, 11)),
    (Transformer(4, width=16, depth=1), IMAGES, (8, 4)),
    (Transformer(4, vocabulary=11, width=16, depth=1, dropout=0.1), TOKENS, (8, 4)),
    (Transformer(11, vocabulary=11, width=16, depth=1, causal=True, return_sequences=True), TOKENS, (8, 6, 11)),
    (gpt(11, width=16, positions="rotary"), TOKENS, (8, 6, 11)),
    (ViT(4, patch=3, width=16, depth=1, heads=2), IMAGES, (8, 4)),
    (AlexNet(4, hidden=8, small=True), PICTURES, (2, 4)),
    (VGG(4, 11, norm="batch", hidden=8), PICTURES, (2, 4)),
    (cifar_resnet(8, 4), PICTURES, (2, 4)),
    (cifar_resnet(8, 4, pre_activation=True), PICTURES, (2, 4)),
]
ids = [f"{type(model).__name__}-{i}" for i, (model, *_) in enumerate(CASES)]
cases = pytest.mark.parametrize(("model", "inputs", "shape"), CASES, ids=ids)


@cases
def test_outputs_have_the_promised_shape(model, inputs, shape):
    outputs, _ = jax.eval_shape(lambda: model.init_with_output(KEY, inputs))
    assert outputs.shape == shape


@cases
def test_bfloat16_keeps_float32_parameters_and_outputs(model, inputs, shape):
    model = model.clone(dtype=jnp.bfloat16) if hasattr(model, "dtype") else model
    outputs, variables = jax.eval_shape(lambda: model.init_with_output(KEY, inputs))
    assert outputs.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_a_convolution_needs_something_to_convolve_over():
    with pytest.raises(ValueError, match="nothing to convolve over"):
        jax.eval_shape(lambda: CNN(2).init(KEY, jnp.zeros((3, 4))))


def test_a_stack_has_at_least_one_layer():
    for model in (Transformer(2, vocabulary=5, depth=0), RNN(2, vocabulary=5, depth=0)):
        with pytest.raises(ValueError, match="depth 0 is not a number of layers; give 1 or more"):
            jax.eval_shape(lambda model=model: model.init(KEY, jnp.zeros((3, 4), jnp.int32)))


LEARNERS = [CASES[i] for i in (0, 2, 4, 8, 10, 13)]


@pytest.mark.parametrize(("model", "inputs", "shape"), LEARNERS, ids=[type(m).__name__ for m, *_ in LEARNERS])
def test_every_model_overfits_one_batch(model, inputs, shape):
    variables = random_variables.variables(model, inputs)
    labels = jax.random.randint(KEY, shape[:-1], 0, shape[-1])
    optimizer = optax.adam(1e-2)

    def step(carry, key):
        params, model_state, opt_state = carry

        def loss(params):
            logits, new = model.apply(
                {"params": params, **model_state}, inputs, train=True, rngs={"dropout": key}, mutable=list(model_state)
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), new

        (value, model_state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), model_state, opt_state), value

    params = variables.pop("params")
    carry = (params, variables, optimizer.init(params))
    _, losses = jax.jit(lambda c: jax.lax.scan(step, c, jax.random.split(KEY, 150)))(carry)
    assert np.asarray(losses)[-5:].mean() < 0.15


def test_a_cnn_that_pools_its_first_dimension_hears_what_and_not_when():
    model = CNN(3, channels=(4,), hidden=(), pool_first=True)
    quiet = jnp.zeros((2, 64, 8, 1))
    early, late = (quiet.at[:, place : place + 8].set(1.0) for place in (16, 40))
    variables = model.init(KEY, early)
    np.testing.assert_allclose(model.apply(variables, early), model.apply(variables, late), rtol=1e-5)
    assert model.apply(variables, jnp.zeros((2, 32, 8, 1))).shape == (2, 3)  # its parameters hang on no length
    assert not np.allclose(model.apply(variables, early), model.apply(variables, quiet))
