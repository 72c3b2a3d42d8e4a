"""The forward pass of a model on a batch: how its inputs reach it, and in which mode its modules are."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from flax import linen as nn

from fdl.core import data_axis, frozen_modules
from fdl.core.types import Batch, PyTree, mask_zero_weight


def forward(
    model: nn.Module,
    params: PyTree,
    model_state: PyTree,
    batch: Batch,
    key: jax.Array | None = None,
    *,
    factored: bool = False,
    frozen: Sequence[str] = (),
) -> tuple[PyTree, PyTree]:
    """Apply the model to a batch and return `(outputs, model_state)`: training mode with a key, else evaluation.

    A mapping of inputs is passed by argument name, anything else as the single positional argument. A model whose
    `__call__` has an argument `weights` receives the example weights, so padding does not affect its statistics.
    The float inputs of an example of weight 0 are masked: a NaN there would be a NaN in every gradient.
    factored: outputs may be `TokenLogits`, if the model's `__call__` supports it.
    frozen: module paths that keep their model state, and normalise by it in training too.
    """
    example_weights = batch.weights.reshape(batch.weights.shape[0], -1).max(1)
    positional, named = arguments(model, batch._replace(inputs=mask_zero_weight(batch.inputs, example_weights)))
    if factored and "factored" in inspect.signature(type(model).__call__).parameters:
        named["factored"] = True
    variables = {"params": params, **model_state}
    with _rows_stay_split(batch.weights.shape[0]), frozen_modules.in_evaluation_mode(frozen):
        if key is None:
            return model.apply(variables, *positional, **named, train=False), model_state
        outputs, updated = model.apply(
            variables, *positional, **named, train=True, rngs={"dropout": key}, mutable=list(model_state)
        )
    return outputs, frozen_modules.keep(frozen, updated, model_state)


def _rows_stay_split(count: int) -> AbstractContextManager[None]:
    """Let what every module takes and gives of `count` rows stay split by rows, where the compiler splits the batch.

    What it takes as well, since the gradients of the arrays are split as they are themselves.
    """
    if data_axis.grid() is None:
        return nullcontext()

    def split(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        args, kwargs = data_axis.split_rows((args, kwargs), count=count)
        return data_axis.split_rows(call(*args, **kwargs), count=count)

    return nn.intercept_methods(split)


def arguments(model: nn.Module, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and named arguments with which a model is called on a batch."""
    positional, named = ((), dict(batch.inputs)) if isinstance(batch.inputs, Mapping) else ((batch.inputs,), {})
    if "weights" in inspect.signature(type(model).__call__).parameters:
        named["weights"] = batch.weights
    return positional, named
