"""A run trained further in its folder: only where every learning rate that it has used is that of the longer run.

A schedule that was planned for fewer steps has fallen by the end of them, and training on from there is no training of
the longer run. Where the rates are equal so far, it is: the same rows, keys and updates follow, bit for bit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fdl.core.description import UndescribedError, describe
from fdl.core.errors import UserError
from fdl.core.log import Log, logger
from fdl.core.recorded import recipe_of
from fdl.experiment import Experiment
from fdl.runs import workdir as run_folder
from fdl.runs.atomic_files import free
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.page_copy import has_page
from fdl.trained import restored_experiment


def make_longer(experiment: Experiment, identity: Mapping[str, Any], folder: Path, log: Log | None) -> None:
    """Make the run in a held folder as long as this experiment, where the steps are all that differs and it is longer.

    Raises a UserError where a learning rate of the steps already done is another one for the longer run.
    """
    longer = run_folder.longer(folder, identity)
    checkpoints = Checkpoints(folder / "checkpoints")
    done = checkpoints.last()
    if not longer or not done:
        return
    then = run_folder.recorded_identity(folder)["steps"]
    if experiment.page is not None:  # of others the identity describes the optimizer, schedules included
        if not has_page(folder):
            return
        if where := first_difference(restored_experiment(folder).optimizer, experiment.optimizer, done):
            raise UserError(
                f"--workdir={folder} holds a run of {then:,} steps, planned otherwise than {experiment.steps:,}: "
                f"{where}; choose another folder, and add --init={folder} there to go on from these weights"
            )
    run_folder.record_longer(folder, longer)
    how = _set_aside_end(checkpoints, experiment.log_every)
    logger(log)(f"longer now, {experiment.steps:,} steps for {then:,}, with the same learning rates so far: {how}")


def _set_aside_end(checkpoints: Checkpoints, log_every: int) -> str:
    """Set the end of the shorter run aside where the longer one does not log; return what is to be said of it.

    The shorter run grouped its last steps into other calls and logged them by themselves.
    """
    *before, last = checkpoints.steps()
    if last % log_every == 0:
        return f"goes on from step {last:,}"
    if not before:
        return (
            f"goes on from step {last:,}, which is between two log lines: not bitwise what one run of all steps gives"
        )
    target = checkpoints.folder / f"ended-{last}"
    free(target)
    (checkpoints.folder / str(last)).rename(target)
    return f"goes on from step {before[-1]:,}, the last that both have; step {last:,} is kept as {target}"


def first_difference(before: Any, now: Any, steps: int, name: str = "optimizer") -> str:
    """Return in what two optimizers differ over their first `steps` updates, "" where in nothing.

    Schedules are compared by their values at every one of these steps, all else by what made it.
    """
    made, remade = recipe_of(before), recipe_of(now)
    if isinstance(before, optax.GradientTransformation) and made and remade and made.factory == remade.factory:
        return _first(made.arguments, remade.arguments, steps)
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return _first(before, now, steps)
    try:
        if describe(before) == describe(now):
            return ""
    except UndescribedError as error:
        if isinstance(before, optax.GradientTransformation):
            return f"{name} cannot be compared ({error})"
    rates, planned = _values(before, steps), _values(now, steps)
    if rates is None or planned is None:
        return f"{name} differs"
    differing = np.flatnonzero(rates != planned)
    if not differing.size:
        return ""
    step = int(differing[0])
    return f"{name} at step {step + 1:,} is {rates[step]:.4g} there and {planned[step]:.4g} here"


def _first(before: Mapping[str, Any], now: Mapping[str, Any], steps: int) -> str:
    found = (first_difference(before.get(name), now.get(name), steps, name) for name in {**before, **now})
    return next(filter(None, found), "")


def _values(schedule: Any, steps: int) -> np.ndarray | None:
    """Return the values [steps] of a schedule or of a number, None of anything else."""
    if isinstance(schedule, int | float):
        return np.full(steps, schedule, np.float32)
    try:
        values = jax.vmap(schedule)(jnp.arange(steps, dtype=jnp.int32))
        return np.asarray(values, np.float32).reshape(steps)
    except (TypeError, ValueError, AttributeError):
        return None
