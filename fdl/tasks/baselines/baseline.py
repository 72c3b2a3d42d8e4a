"""What a baseline is: fitted on training examples, then measured on a split by the metrics of the model's task.

Shape legend: n examples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fdl.core.types import Batch, PyTree, Task, add_up

Measure = Callable[[Batch], Mapping[str, float]]


class Fitted(NamedTuple):
    """A baseline after training.

    name:    of the method, as it is printed. measure: `examples -> metrics`, by the names of the task's.
    """

    name: str
    measure: Measure


def as_they_are(inputs: PyTree) -> PyTree:
    """Return the inputs."""
    return inputs


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A classical method, in NumPy on the host.

    fit:      `(train, task, outputs) -> Fitted`; train: examples whose inputs are features; outputs: how many a model
              of this data has (`Spec.outputs`).
    features: `inputs [n, ...] -> array or SciPy matrix [n, ...]`, or a pytree of them: what the method reads of an
              example. It is applied to some rows at a time, since features may be far smaller than inputs.
    chance:   it reads nothing of an example, so a model that is no better has learned nothing.
    """

    fit: Callable[[Batch, Task, int], Fitted]
    features: Callable[[PyTree], Any] = as_they_are
    chance: bool = False


def measure_of(task: Task, predict: Callable[[Batch], np.ndarray]) -> Measure:
    """Return the measure of a method that predicts what a model does.

    predict: `examples -> f[n, ...]`, the outputs that the task takes: logits, or standardised values.
    """

    def measure(examples: Batch) -> dict[str, float]:
        outputs = jnp.asarray(predict(examples), jnp.float32)
        sums = task(outputs, examples._replace(inputs=None))
        whole = add_up([{name: type(s)(*(np.asarray(x)[None] for x in s)) for name, s in sums.items()}])
        return {name: x for name, x in task.finish(whole, "test").items() if isinstance(x, int | float)}

    return measure
