"""Options for any experiment: composable functions from one experiment to another.

All are off by default and part of a run's identity; a page may use the same building blocks itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from fdl import optim
from fdl.core import optimizer_state
from fdl.core.errors import UserError
from fdl.experiment import Experiment

Precision = Literal["bfloat16", "float16"]
MatmulPrecision = Literal["default", "high", "highest"]


def with_precision(experiment: Experiment, precision: Precision) -> Experiment:
    """Compute in 16 bits; parameters, statistics and losses stay float32; float16 uses dynamic loss scaling."""
    if precision not in get_args(Precision):
        raise UserError(f"precision {precision!r} is not one of {', '.join(get_args(Precision))}")
    if not hasattr(experiment.model, "dtype"):
        raise UserError(f"{type(experiment.model).__name__} has no dtype to compute in; leave out --precision")
    optimizer = experiment.optimizer
    if precision == "float16":
        optimizer = optimizer_state.dynamic_loss_scale(optimizer)
    model = experiment.model.clone(dtype=jnp.dtype(precision))
    return _marked(experiment, replace(experiment, model=model, optimizer=optimizer), "precision", precision)


def with_ema(experiment: Experiment, decay: float) -> Experiment:
    """Evaluate with an exponential moving average of the weights; training is unchanged."""
    if not 0 < decay < 1:
        raise UserError(f"ema_decay {decay} is not between 0 and 1; try 0.999")
    averaged = replace(experiment, optimizer=optimizer_state.ema(experiment.optimizer, decay))
    return _marked(experiment, averaged, "ema_decay", decay)


def with_frozen(experiment: Experiment, paths: Sequence[str]) -> Experiment:
    """Freeze the parameters below these module paths."""
    if not all(paths):
        raise UserError(f"freeze {','.join(paths)!r} has an empty path; write Dense_0,Block_0/attention")
    frozen = replace(experiment, optimizer=optim.frozen(experiment.optimizer, paths))
    return _marked(experiment, frozen, "freeze", ",".join(sorted(paths)))


def with_matmul_precision(experiment: Experiment, precision: MatmulPrecision) -> Experiment:
    """Set `jax_default_matmul_precision` for float32 matrix products, for the whole process.

    XLA's default is one bfloat16 pass on a TPU and TF32 on NVIDIA; "highest" is float32 everywhere.
    """
    if precision not in get_args(MatmulPrecision):
        raise UserError(f"matmul_precision {precision!r} is not one of {', '.join(get_args(MatmulPrecision))}")
    jax.config.update("jax_default_matmul_precision", precision)
    return _marked(experiment, experiment, "matmul_precision", precision)


def apply_options(
    experiment: Experiment,
    *,
    freeze: Sequence[str] = (),
    precision: Precision | None = None,
    matmul_precision: MatmulPrecision | None = None,
    ema_decay: float | None = None,
) -> Experiment:
    """Return the experiment with these options. The order matters: the average must wrap all other transformations."""
    experiment = with_frozen(experiment, freeze) if freeze else experiment
    experiment = with_precision(experiment, precision) if precision else experiment
    experiment = with_matmul_precision(experiment, matmul_precision) if matmul_precision else experiment
    return with_ema(experiment, ema_decay) if ema_decay is not None else experiment


def _marked(before: Experiment, after: Experiment, name: str, value: str | float) -> Experiment:
    """Return the experiment after an option, which its knobs name, so that a page goes on answering for its parts."""
    marked = replace(after, knobs={**after.knobs, name: value})
    return marked.answered_for() if before.is_all_from_page() else marked
