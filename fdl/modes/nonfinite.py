"""Trace a non-finite number to its step, rows and module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fdl.core import steps
from fdl.core.errors import Fault, NotFinite
from fdl.core.forward import forward
from fdl.core.types import Batch, PyTree, TrainState
from fdl.engine import loader
from fdl.engine.program import step_of
from fdl.experiment import Experiment
from fdl.runs import atomic_files
from fdl.runs.checkpoints.manager import Checkpoints


def fault(experiment: Experiment, checkpoints: Checkpoints, workdir: Path, until: int) -> Fault:
    """Return the Fault of a run with a non-finite number by step `until`, and write nonfinite.json.

    Replays the steps since the last checkpoint on one device, one by one, and the failing one module by module without
    jit.
    """
    saved = checkpoints.newest(experiment.abstract(), lambda _: None)
    state = saved.state if saved else experiment.init()
    source = experiment.dataset.load("train")
    step = jax.jit(step_of(experiment))
    for at in range(int(state.step), until):
        rows = loader.training_rows(experiment.seed, at, 1, batch_size=experiment.batch_size, size=len(source))
        batch = source.fetch(np.asarray(rows.indices[0]))
        new, sums = step(state, batch)
        if not bool(steps.all_finite(new, sums)):
            what, module = where(experiment, state, batch)
            numbers = rows.indices[0].tolist()
            found = {"step": at + 1, "what": what, "module": module, "rows": numbers}
            atomic_files.write_json(workdir / "nonfinite.json", found)
            return NotFinite(
                f"step {at + 1}: {what} not finite{f', first in module {module}' if module else ''}, with training "
                f"rows {', '.join(map(str, numbers[:8]))}{', …' if len(numbers) > 8 else ''} (all in "
                f"{workdir / 'nonfinite.json'}); mend the data, lower the learning rate, or go on with --nonfinite=skip"
            )
        state = new
    return NotFinite(f"a loss or gradient before step {until} was not finite, but is when run again on one device")


def where(experiment: Experiment, state: TrainState, batch: Batch) -> tuple[str, str | None]:
    """Return what is not finite in the step of this batch, such as `the inputs are`, and the first module with it."""
    if not finite(batch.inputs):
        return "the inputs are", None
    prepared: Callable[..., Any] = steps.prepare(
        lambda _, ready: ready,
        experiment.dataset.transform,
        experiment.dataset.augment,
    )
    batch = prepared(state, batch)
    if not finite(batch.inputs):
        return "the inputs, transformed, are", None
    modules: list[str] = []

    def watch(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        made = method(*args, **kwargs)
        if not finite(made):
            modules.append("/".join(context.module.path) or type(context.module).__name__)
        return made

    key = steps.step_key(state, steps.DROPOUT)
    with nn.intercept_methods(watch):
        outputs, _ = forward(experiment.model, state.params, state.model_state, batch, key)
    if modules:
        return "the outputs are", modules[0]
    if not finite(experiment.task(outputs, batch)["loss"]):
        return f"the loss of task {experiment.task.name!r} is", None
    gradient, _, _ = steps.total_gradient(experiment.model, experiment.task)(state, batch)
    for path, leaf in jax.tree_util.tree_flatten_with_path(gradient)[0]:
        if not finite(leaf):
            *module, name = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
            return f"the gradient of {name} is", "/".join(module)
    return "the optimizer's update is", None


def finite(tree: PyTree) -> bool:
    """Return whether all concrete numbers of a tree are finite; tracers are skipped."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not isinstance(leaf, jax.core.Tracer)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves if jnp.issubdtype(np.asarray(leaf).dtype, jnp.inexact))
