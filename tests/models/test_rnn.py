"""Recurrent nets: the textbook's loop, padding that changes nothing, no look ahead."""

import jax
import numpy as np
import pytest

import random_variables
from fdl.models import RNN
from fdl.models.rnn import CELLS

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
LENGTHS = np.array([5, 1, 3])
PADDED = np.where((np.arange(5)[None] < LENGTHS[:, None])[..., None], X, np.float32(99))
cells = pytest.mark.parametrize("cell", CELLS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(cell, params, x, steps, reverse=False):
    """One sequence, one step at a time, in float64."""
    kernel, bias = (np.asarray(params["Dense_0"][k], np.float64) for k in ("kernel", "bias"))
    recurrent = np.asarray(params["recurrent"], np.float64)
    width = len(recurrent)
    h, c = np.zeros(width), np.zeros(width)
    states = []
    times = range(steps)
    for t in reversed(times) if reverse else times:
        wx, uh = x[t] @ kernel + bias, h @ recurrent
        if cell == "rnn":
            h = np.tanh(wx + uh)
        elif cell == "lstm":
            i, f, g, o = np.split(wx + uh, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            uh += np.asarray(params["recurrent_bias"])
            (wr, wz, wn), (ur, uz, un) = np.split(wx, 3), np.split(uh, 3)
            z = sigmoid(wz + uz)
            h = (1 - z) * np.tanh(wn + sigmoid(wr + ur) * un) + z * h
        states.append(h)
    return np.array(states[::-1] if reverse else states), h


@cells
@pytest.mark.parametrize("reverse", [False, True])
def test_each_cell_equals_a_hand_written_loop(cell, reverse):
    model = RNN(None, width=4, cell=cell, bidirectional=reverse)
    variables = random_variables.variables(model, X)
    params = variables["params"]["Recurrence_1" if reverse else "Recurrence_0"]
    if cell == "gru":
        params["recurrent_bias"] += 0.3
    ends, steps = jax.jit(lambda v: [m.apply(v, X, LENGTHS) for m in (model, model.clone(return_sequences=True))])(
        variables
    )
    half = slice(4, 8) if reverse else slice(0, 4)
    for row, length in enumerate(LENGTHS):
        states, last = loop(cell, params, np.asarray(X[row], np.float64), int(length), reverse)
        np.testing.assert_allclose(ends[row, half], last, atol=1e-5)
        np.testing.assert_allclose(steps[row, :length, half], states, atol=1e-5)


@cells
def test_padding_does_not_change_the_answer(cell):
    model = RNN(3, width=4, cell=cell, bidirectional=True)
    variables = random_variables.variables(model, X)
    apply = jax.jit(model.apply)
    together = apply(variables, X, LENGTHS)
    np.testing.assert_array_equal(together, apply(variables, PADDED, LENGTHS))
    np.testing.assert_allclose(together[2:], apply(variables, X[2:, :3]), atol=1e-6)


@cells
def test_the_future_is_not_seen(cell):
    model = RNN(None, width=4, cell=cell, return_sequences=True)
    variables = random_variables.variables(model, X)
    slopes = jax.jit(jax.grad(lambda x: model.apply(variables, x)[:, 2].sum()))(X)
    assert (slopes[:, 3:] == 0).all()
    assert (slopes[:, :3] != 0).all()


def test_an_lstm_starts_with_open_forget_gates():
    params = jax.jit(RNN(None, width=2).init)(KEY, X)["params"]["Recurrence_0"]
    np.testing.assert_array_equal(params["Dense_0"]["bias"], [0, 0, 1, 1, 0, 0, 0, 0])
    gate = params["recurrent"][:, :2]
    np.testing.assert_allclose(gate.T @ gate, np.eye(2), atol=1e-6)


def test_an_unknown_cell_is_named():
    with pytest.raises(ValueError, match="cell 'elman' is unknown; choose lstm, gru, rnn"):
        jax.eval_shape(RNN(1, cell="elman").init, KEY, X)
