"""Linear baselines: ridge regression of numbers and logistic regression of classes.

The strength of the penalty is the best of a few on a part of train that is held out. Both are convex, so they are what
scikit-learn's `Ridge` and `LogisticRegression` give, without the seconds that importing it takes.

Shape legend: n examples, d features, K classes, D numbers to predict.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fdl.core.types import Batch, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted, measure_of
from fdl.tasks.baselines.features import Features

Matrix = Any  # a NumPy array or a SciPy sparse one, [n, d]
Scaling = Callable[[Matrix], Callable[[Matrix], Matrix]]  # fitted on train
PENALTIES = (0.1, 1.0, 10.0, 100.0)
HELD_OUT = 0.15  # of train, to choose the penalty on
_EXACT = 2000  # features up to which the normal equations are solved
_ITERATIONS = 200


def standardised(train: Matrix) -> Callable[[Matrix], Matrix]:
    """Return the scaling of each feature to mean 0 and deviation 1 over train."""
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    # A constant's deviation is rounding, by which a test row with another value would become a million.
    return lambda x: (x - mean) / np.where(deviation > 1e-9 * np.abs(mean), deviation, 1.0)


def tf_idf(train: Matrix) -> Callable[[Matrix], Matrix]:
    """Return the scaling of counts by the rarity of what is counted, each row to length 1; as scikit-learn's."""
    from scipy.sparse import diags_array

    seen = np.bincount(train.nonzero()[1], minlength=train.shape[1])
    rarity = diags_array(np.log((1 + train.shape[0]) / (1 + seen)) + 1)

    def scale(x: Matrix) -> Matrix:
        weighed = x @ rarity
        size = np.sqrt(weighed.multiply(weighed).sum(1))
        return diags_array(1 / np.where(size > 0, size, 1.0)) @ weighed

    return scale


def linear(features: Features, scaling: Scaling = standardised, name: str = "") -> Baseline:
    """Make the baseline of a linear model on these features: ridge for numbers, logistic regression for classes.

    targets: i[n], or f[n, ...] where the task takes numbers. name: of the features, as it is printed.
    """

    def fit(train: Batch, task: Task, outputs: int) -> Fitted:
        kept = np.asarray(train.weights).reshape(len(train.targets), -1).min(1) > 0
        x, y = train.inputs[kept], np.asarray(train.targets)[kept]
        scale = scaling(x)
        solve, cost = (_ridge, _squares) if task.encode is not None else (_logistic, _surprise)
        wanted = y.reshape(len(y), -1).astype(np.float64) if task.encode is not None else np.eye(outputs)[y]
        weights = _chosen(scale(x), wanted, solve, cost)

        def predict(some: Batch) -> np.ndarray:
            answer = _outputs(scale(some.inputs), weights)
            return answer if task.encode is None else task.encode(answer.reshape(np.shape(some.targets)))

        method = "ridge regression" if task.encode is not None else "logistic regression"
        return Fitted(f"{name} and {method}" if name else method, measure_of(task, predict))

    return Baseline(fit=fit, features=features)


@dataclass(frozen=True)
class RidgeStart:
    """The weights f64[d + 1, D] of ridge regression, the biases first: what a layer of a model may begin with.

    It predicts the outputs that the task takes, from features that are not standardised. The first call fits, later
    ones return the same. train: returns the examples when they are needed; they are the data's, no part of a model.
    validation: the same of later examples. Where ridge regression predicts them no better than 0, such as no change of
    a random walk, the weights are those which answer 0.
    """

    train: Callable[[], Batch] = field(compare=False)
    task: Task
    features: Features
    validation: Callable[[], Batch] | None = field(default=None, compare=False)

    def __call__(self) -> np.ndarray:
        """Return the weights."""
        return self._weights

    @property
    def note(self) -> str:
        """What the weights are, in a line: ridge regression, or those that answer 0."""
        if self.validation is None:
            return "the linear part of the model is ridge regression of train"
        if self._weights[1:].any():
            return "the linear part of the model is ridge regression of train, which predicts validation better than 0"
        return "the linear part of the model answers 0, which predicts validation better than ridge regression of train"

    @cached_property
    def _weights(self) -> np.ndarray:
        x, y = self._valid(self.train)
        zero, one = standardised(x)(np.stack([np.zeros(x.shape[1]), np.ones(x.shape[1])]))
        weights = _chosen(standardised(x)(x), y, _ridge, _squares)
        ridge = np.concatenate([weights[:1] + zero @ weights[1:], (one - zero)[:, None] * weights[1:]])
        if self.validation is None:
            return ridge
        assert self.task.encode is not None
        answers_zero = np.zeros_like(ridge)
        answers_zero[:1] = self.task.encode(np.zeros((1, ridge.shape[1])))
        x, y = self._valid(self.validation)
        return min(answers_zero, ridge, key=lambda weights: _squares(_outputs(x, weights), y))

    def _valid(self, read: Callable[[], Batch]) -> tuple[np.ndarray, np.ndarray]:
        """Return the features f64[n, d] and outputs f64[n, D] of the examples all of whose targets count."""
        assert self.task.encode is not None
        examples = read()
        whole = np.asarray(examples.weights).reshape(len(examples.targets), -1).min(1) > 0
        encoded = self.task.encode(np.asarray(examples.targets, np.float64)[whole])
        x = np.asarray(self.features(examples.inputs), np.float64)[whole]
        return x, np.asarray(encoded, np.float64).reshape(len(x), -1)


def _chosen(x: Matrix, y: np.ndarray, solve: Callable[..., np.ndarray], cost: Callable[..., float]) -> np.ndarray:
    """Return the weights f64[d + 1, K] on all rows, with the penalty that is best where it was not fitted."""
    order = np.random.default_rng(0).permutation(len(y))
    held = order[: max(1, int(HELD_OUT * len(y)))]
    rest = order[len(held) :]
    if len(rest) < 2:
        return solve(x, y, 1.0)
    costs = [cost(_outputs(x[held], solve(x[rest], y[rest], penalty)), y[held]) for penalty in PENALTIES]
    return solve(x, y, PENALTIES[int(np.argmin(costs))])


def _outputs(x: Matrix, weights: np.ndarray) -> np.ndarray:
    return np.asarray(x @ weights[1:] + weights[:1])


def _ridge(x: Matrix, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return f64[d + 1, D], intercepts first: the least squares plus `penalty` times the squared weights."""
    middle, mean = np.asarray(x.mean(0)), y.mean(0)
    if x.shape[1] <= _EXACT and isinstance(x, np.ndarray):
        centred = x - middle
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - mean))
    else:
        from scipy.sparse.linalg import LinearOperator, lsqr

        centred = LinearOperator(
            x.shape,
            matvec=lambda w: x @ w - middle @ w,
            rmatvec=lambda r: x.T @ r - middle * r.sum(),
        )
        columns = [lsqr(centred, each, damp=np.sqrt(penalty), iter_lim=_ITERATIONS)[0] for each in (y - mean).T]
        weights = np.stack(columns, axis=1)
    return np.concatenate([(mean - middle @ weights)[None], weights])


def _logistic(x: Matrix, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return f64[d + 1, K], intercepts first: the least nats plus half of `penalty` times the squared weights."""
    from scipy.optimize import minimize

    shape = (x.shape[1] + 1, y.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        logs = _log_softmax(_outputs(x, weights))
        error = np.exp(logs) - y
        gradient = np.concatenate([error.sum(0, keepdims=True), x.T @ error + penalty * weights[1:]])
        return float(-(logs * y).sum() + penalty / 2 * (weights[1:] ** 2).sum()), gradient.ravel()

    begin = np.zeros(shape)
    begin[0] = np.log(y.sum(0) + 1)
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    return np.asarray(found.x).reshape(shape)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _surprise(outputs: np.ndarray, y: np.ndarray) -> float:
    return float(-(_log_softmax(outputs) * y).sum())


def _squares(outputs: np.ndarray, y: np.ndarray) -> float:
    return float(((outputs - y) ** 2).sum())
