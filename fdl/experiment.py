"""Experiments: the value that holds everything a run depends on, and how pages make it."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from fdl import pages
from fdl.core import recorded, steps
from fdl.core.description import UndescribedError, describe
from fdl.core.errors import UserError
from fdl.core.source_code import is_installed
from fdl.core.types import Batch, PyTree, Task, TrainState
from fdl.data import Dataset
from fdl.parallel.devices import Accelerator
from fdl.runs.report.visualize import Visualize
from fdl.tasks.baselines.baseline import Baseline


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is computed (the first block), and where and how often it is looked at (the second).

    batch_size:     examples per step over all devices. steps: updates in all. seed: of everything random.
    accumulate:     micro-batches per step, for batches that do not fit.
    init_from:      variables at initialisation -> those to begin with: published weights (`models.pretrained`).
    executor:       "auto" is jit on one device and mesh on several.
    mesh:           axis ("data", "fsdp", "model") -> devices along it; empty is all along "data".
    steps_per_call: steps that run as one program; None lets the framework choose by model and backend.
    log_every, evaluate_every, save_every: in steps. evaluate_every None is about ten times a run, 0 only at the end;
        save_every None is whenever it evaluates.
    keep, keep_every: how many of the newest checkpoints are kept besides the best, and after how many steps one more is
        kept for good; None never.
    monitor:        the metric of the validation split by which the best checkpoint is chosen.
    patience:       evaluations in a row without a better score after which training stops; None trains all steps.
    minutes:        training time after which it stops, without compiling and evaluating; not reproducible.
    nonfinite:      a loss or update that is not finite stops the run and is traced to its module, or is skipped.
    visualize:           draws some examples of the test split into the report (`fdl.runs.report.visualize`).
    baselines:      classical methods that the model is compared with after training (`fdl.tasks.baselines`).
    name, knobs, code, imports, page: set by `load`: which page made it, with which values, the digests of what the page
        says and of the modules of its user that it imports, and its file.
    from_page:      set by `load`: the parts that the page made, which these answer for.
    """

    model: nn.Module
    dataset: Dataset
    task: Task
    optimizer: optax.GradientTransformation
    batch_size: int
    steps: int
    seed: int = 0
    accumulate: int = 1
    init_from: Callable[[PyTree], PyTree] | None = None

    accelerator: Accelerator = "any"
    executor: Literal["auto", "jit", "pmap", "mesh"] = "auto"
    mesh: Mapping[str, int] = field(default_factory=dict)
    feed: Literal["auto", "resident", "streamed"] = "auto"
    steps_per_call: int | None = None
    evaluate_batch_size: int | None = None
    log_every: int = 50
    evaluate_every: int | None = None
    save_every: int | None = None
    keep: int = 2
    keep_every: int | None = None
    monitor: str = "loss"
    patience: int | None = None
    minutes: float | None = None
    nonfinite: Literal["stop", "skip"] = "stop"
    visualize: Visualize | None = None
    baselines: tuple[Baseline, ...] = ()

    name: str = "experiment"
    knobs: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    imports: Mapping[str, str] = field(default_factory=dict)
    page: Path | None = None
    from_page: tuple[Any, ...] = ()

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Which values of the monitored metric are the better ones."""
        return self.task.metrics[self.monitor].better

    def epochs(self, step: int) -> float:
        """Return the number of epochs (passes over the training examples, or tokens of running text) at `step`."""
        return step * self.batch_size / self.dataset.spec.epoch_size

    def identity(self) -> dict[str, Any]:
        """Return what identifies a run: experiments that differ in any of it cannot share a run folder.

        Changed data files show in the number of examples, in the fitted values, or in the file sizes.
        Parts hold what no page answers for: models and tasks by class and fields, optimizers by what made them, arrays
        in memory by their digests. Where and how fast a run computes is none of it: versions, devices, kernels.
        """
        fixed = {
            "experiment": self.name,
            "dataset": self.dataset.name,
            "examples": dict(self.dataset.spec.sizes),
            "fitted": hashlib.sha256(json.dumps(dict(self.dataset.fitted), sort_keys=True).encode()).hexdigest()[:12],
            "files": self.dataset.contents(),
            "task": self.task.name,
            "batch_size": self.batch_size,
            "steps": self.steps,
            "seed": self.seed,
            "accumulate": self.accumulate,
            pages.CODE: self.code,
            pages.IMPORTS: dict(self.imports),
            pages.PARTS: {name: part for name, part in self._parts() if part is not None},
        }
        return {**fixed, **self.knobs}

    def is_all_from_page(self) -> bool:
        """Say whether a page answers for every part."""
        return bool(self.from_page) and all(map(self._is_from_page, self._all_parts()))

    def answered_for(self) -> "Experiment":
        """Return the experiment with its page answering for its parts as they are now."""
        return replace(self, from_page=self._all_parts())

    def _all_parts(self) -> tuple[Any, ...]:
        return self.model, self.dataset, self.task, self.optimizer, self.init_from

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the description of each part, None where the page answers for all of it."""
        yield "model", self._part(self.model, self.model)
        yield "task", self._part(self.task, self.task)
        yield "optimizer", None if self._is_from_page(self.optimizer) else self._part(self.optimizer, self.optimizer)
        if contents := getattr(self.init_from, "contents", None):  # what lies in a file, which may be written anew
            yield "weights", contents() or {pages.UNDESCRIBED: "their file is not there; put it back"}
        yield "init_from", None if self._is_from_page(self.init_from) else self._part(self.init_from, self.init_from)
        data = self.dataset
        if not self._is_from_page(data):
            yield "data", self._part((data.spec, data.transform, data.augment), data)
        if not is_installed(getattr(data.load, "__module__", None) or "") or not self._is_from_page(data):
            examples = self._part(data.load, data)
            # Readers close over open files; what they read shows in the contents.
            by_contents = isinstance(examples, Mapping) and pages.UNDESCRIBED in examples and data.contents()
            yield "examples", recorded.name_of(data.load) if by_contents else examples

    def _is_from_page(self, part: Any) -> bool:
        return any(part is one for one in self.from_page)

    def _part(self, value: Any, owner: Any) -> Any:
        """Return a description; why there is none, or None where there is none and the page answers for its owner."""
        answered = self._is_from_page(owner)
        try:
            return describe(value, code=not answered)
        except UndescribedError as error:
            return None if answered else {pages.UNDESCRIBED: str(error)}

    def example(self, batch_size: int = 1) -> Batch:
        """Return a batch of zeros with the model's input shapes."""
        result: Batch = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.dataset.shapes(batch_size))
        return result

    def init(self) -> TrainState:
        """Return the state at step 0."""
        state: TrainState = jax.jit(lambda: steps.init(self.model, self.optimizer, self.example(), self.seed))()
        if self.init_from is None:
            return state
        model_state = jax.tree.map(jnp.asarray, dict(self.init_from({"params": state.params, **state.model_state})))
        params = model_state.pop("params")
        return state._replace(params=params, opt_state=jax.jit(self.optimizer.init)(params), model_state=model_state)

    def abstract(self) -> TrainState:
        """Return the shapes of the state at step 0; nothing is allocated."""
        return self._abstract

    @cached_property  # tracing a deep model takes seconds, and its shapes are needed several times
    def _abstract(self) -> TrainState:
        result: TrainState = jax.eval_shape(lambda: steps.init(self.model, self.optimizer, self.example(), self.seed))
        return result


def load(name: str, **knobs: Any) -> Experiment:
    """Make the experiment of a page, given by name or file path, with these knobs."""
    return maker(name)(**knobs)


def maker(name: str) -> Callable[..., Experiment]:
    """Return a page's function, `(**knobs) -> Experiment`: pure, so a numeric knob may be a traced array."""
    page = pages.read(name)
    module = _module(page.path.resolve())

    def make(**knobs: Any) -> Experiment:
        values = page.complete(knobs)
        made = module.experiment(**values)
        if not isinstance(made, Experiment):
            raise UserError(f"{page.path}: experiment() returns {made!r}; return an Experiment")
        named = replace(made, name=page.name, knobs=values, code=page.code, imports=page.imports(), page=page.path)
        return named.answered_for()

    return make


_FOLDERS: list[str] = []  # of the pages that were loaded, the last one first


def _module(path: Path) -> ModuleType:
    """Return a page as a module. What it imports may lie beside it, as beside a script."""
    folder = str(path.parent)
    others = [other for other in _FOLDERS if other != folder]
    for name, loaded in list(sys.modules.items()):
        # Two folders may each have a helpers.py: that of another page's folder is no module of this page's.
        file = getattr(loaded, "__file__", None)
        if file and str(Path(file).parent) in others and (path.parent / f"{name}.py").is_file():
            del sys.modules[name]
    spec = importlib.util.spec_from_file_location(f"experiments.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that what the page defines can be pickled
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    # Imports inside its functions find their modules as well, after all that is installed: a page series.py or
    # tokenizers.py is never taken for a package that something else imports later.
    if path.parent != pages.SHIPPED:
        _FOLDERS[:] = [folder, *others]
        sys.path[:] = [entry for entry in sys.path if entry not in _FOLDERS] + _FOLDERS
    return module
