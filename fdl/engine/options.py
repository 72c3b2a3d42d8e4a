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
from fdl.runs import workdir
from fdl.runs.checkpoints.warm_start import of_run

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


def with_init(experiment: Experiment, run: str, fresh: Sequence[str] = ()) -> Experiment:
    """Initialise from the weights of another run's newest checkpoint, averaged where it averages, at step 0.

    run: its folder. fresh: module paths that stay as initialised, such as a head for other classes. The digest of the
    weights is part of the identity.
    """
    if experiment.init_from is not None:
        raise UserError(f"--init={run}: {experiment.name} starts from weights of its own; leave out one of them")
    if not run:
        raise UserError("init is empty; give the folder of a run, or leave it out")
    if not all(fresh):
        raise UserError(f"fresh {','.join(fresh)!r} has an empty path; write Dense_1,Block_0/attention")
    begun = replace(experiment, init_from=of_run(workdir.local(run, "init"), fresh=fresh))
    marked = _marked(experiment, begun, "init", str(run))
    return _marked(marked, marked, "fresh", ",".join(sorted(fresh))) if fresh else marked


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
    init: str | None = None,
    fresh: Sequence[str] = (),
    freeze: Sequence[str] = (),
    precision: Precision | None = None,
    matmul_precision: MatmulPrecision | None = None,
    ema_decay: float | None = None,
) -> Experiment:
    """Return the experiment with these options. The order matters: the average must wrap all other transformations."""
    if fresh and init is None:
        raise UserError(f"fresh {','.join(fresh)} is of the weights of another run; add --init=RUN, or leave it out")
    experiment = with_init(experiment, init, fresh) if init is not None else experiment
    experiment = with_frozen(experiment, freeze) if freeze else experiment
    experiment = with_precision(experiment, precision) if precision else experiment
    experiment = with_matmul_precision(experiment, matmul_precision) if matmul_precision else experiment
    return with_ema(experiment, ema_decay) if ema_decay is not None else experiment


def _marked(before: Experiment, after: Experiment, name: str, value: str | float) -> Experiment:
    """Return the experiment after an option, which its knobs name, so that a page goes on answering for its parts."""
    marked = replace(after, knobs={**after.knobs, name: value})
    return marked.answered_for() if before.is_all_from_page() else marked
