"""A trained run as a model: restored from its folder alone, called on new data.

Shape legend: n examples.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fdl.core import optimizer_state, steps
from fdl.core.errors import UserError
from fdl.core.log import Log, logger
from fdl.core.types import Batch, PyTree, Step, TrainState
from fdl.data.modalities.kept import KEPT, KeptDataset, restoring
from fdl.engine.answers import in_units
from fdl.engine.decision import decided
from fdl.engine.decoding import Decoding, decoding_of
from fdl.engine.error_rates import evaluate_splits, with_new_data
from fdl.engine.kept_data import RunData
from fdl.engine.options import apply_options
from fdl.engine.placement import prepare
from fdl.experiment import Experiment, maker
from fdl.runs import workdir as run_folder
from fdl.runs.atomic_files import read_json
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.manager import Which as Which
from fdl.runs.metrics_log import lines
from fdl.runs.page_copy import page_of

if TYPE_CHECKING:
    from fdl.data.modalities.new_rows import NewRows

Program = Callable[[PyTree, TrainState], Mapping[str, jax.Array]]
SIZES = (1, 8, 64, 512)  # of the batches that are compiled: a request is filled up to the next of them


class Report(dict[str, Any]):
    """What training gives: the report as a mapping, `report["metrics"]["test"]`, and what its run can do.

    workdir: the run folder. experiment: what was trained.
    """

    def __init__(self, values: Mapping[str, Any], workdir: Path, experiment: Experiment):
        super().__init__(values)
        self.workdir, self.experiment = workdir, experiment

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of the run's log, each a mapping with `step`, `epoch`, `split` and metrics."""
        return list(lines(self.workdir / "metrics.jsonl"))

    def restore(self, checkpoint: Which = "best") -> "Trained":
        """Return the trained model."""
        return restore(self.workdir, checkpoint, experiment=self.experiment)

    def _repr_html_(self) -> str:
        """Return the metrics as a table, as a notebook shows it."""
        rows = [(split, values) for split, values in self["metrics"].items() if isinstance(values, Mapping)]
        named = dict.fromkeys(name for _, values in rows for name in values)
        names = [name for name in named if any(_brief(values.get(name)) for _, values in rows)]
        cells = [[split, *(_brief(values.get(name)) for name in names)] for split, values in rows]
        head = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        title = f"{self['experiment']}: step {self['step']:,}, run folder {self.workdir}"
        return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"


def _brief(value: Any) -> str:
    """Return a metric in four digits, empty where there is none."""
    return f"{value:.4g}" if isinstance(value, int | float) else ""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model. Calling it, or `predict`, answers about new data; nothing of it ever changes.

    step: of the checkpoint. variables: "params" as they are evaluated, averaged where the run averages, and the rest.
    """

    experiment: Experiment
    folder: Path
    step: int
    variables: Mapping[str, Any]

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.experiment.model

    @property
    def params(self) -> PyTree:
        """The parameters, as they are evaluated."""
        return self.variables["params"]

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of the run's log, each a mapping with `step`, `epoch`, `split` and metrics."""
        return list(lines(self.folder / "metrics.jsonl"))

    @property
    def report(self) -> dict[str, Any]:
        """The report of the run, once it has finished."""
        return run_folder.read_report(self.folder / "report.json")

    def __call__(self, data: Any) -> dict[str, Any]:
        """Return `predict(data)`."""
        return self.predict(data)

    def predict(self, data: Any, *, beams: int = 1) -> dict[str, Any]:
        """Return the task's predictions of new data, in order: arrays [n, ...] by name.

        Of classes "class" i32[n], "probability" f32[n] and "probabilities" f32[n, K], and "name", the n names of the
        classes where they have some; of numbers "value" f64[n], in the unit of the targets. Sequences are decoded
        greedily: "tokens" i32[n, T] padded with 0, "log_probability" f[n], and "text", n texts, where tokens have some.
        Of tagged words "tags", n lists of their names. Of series "value" f64[n, H], and the time of each forecast; of
        windows in the dataset's own format "change" f64[n, H], against the seasonal naive forecast.
        data: as `fdl.data.modalities.new_rows.new_rows` has it. beams: the width of beam search for sequences.
        """
        from fdl.data.modalities.new_rows import new_rows  # imports every reader, which training needs none of

        return self.answers(new_rows(self.experiment.dataset, data), beams)

    def answers(self, rows: "NewRows", beams: int = 1) -> dict[str, Any]:
        """Return the predictions of rows that are encoded already."""
        decoding, spec = self._programs(beams)[0], self.experiment.dataset.spec
        parts = list(self._parts(rows, beams))
        found: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if decoding and decoding.text:
            found = {"text": decoding.texts(found["tokens"]), **found}
        if rows.lengths is not None and spec.names:
            kept = zip(found["class"], rows.lengths, strict=True)
            found = {"tags": [[spec.names[number] for number in row[:length]] for row, length in kept], **found}
        found = in_units(found, self.experiment.dataset, rows.places)
        return found if rows.places is None else {**found, **rows.places.carried}

    def decide(self, threshold: str | float | None = None, *, calibrated: bool = False) -> "Trained":
        """Return the model of two classes that answers the second one from a threshold on; see `decided`."""
        made = decided(
            self.experiment, self.folder, self.step, threshold=threshold, calibrated=calibrated, log=logger(None)
        )
        return replace(self, experiment=made)

    def evaluate(self, *splits: str, data: Any = None) -> dict[str, dict[str, Any]]:
        """Return the metrics of these splits, of all where none is named; the run's data must be there.

        Sequences are decoded greedily for their error rates, but of train, as --mode=evaluate does.
        data: new data with their targets instead, see `fdl.data.modalities.new_targets`: the split "new".
        """
        if data is not None:
            new, name = with_new_data(self.experiment, data)
            return replace(self, experiment=new).evaluate(*splits, name)
        executor = prepare(self.experiment)
        names = splits or tuple(self.experiment.dataset.spec.sizes)
        return dict(evaluate_splits(self.experiment, executor, executor.put_state(self.state), names, logger(None)))

    @property
    def state(self) -> TrainState:
        """The state of training less the optimizer's; a new one each time, since an evaluation consumes it."""
        rest = {name: value for name, value in self.variables.items() if name != "params"}
        return TrainState(jnp.int32(self.step), self.params, (), rest, jax.random.key(self.experiment.seed))

    def forward(self, inputs: PyTree, state: TrainState | None = None) -> Mapping[str, jax.Array]:
        """Return the task's predictions of inputs [n, ...] as a source gives them: pure JAX, the transform included."""
        return self._answered(inputs, state or self.state, None)

    def _answered(self, inputs: PyTree, state: TrainState, step: Step | None) -> Mapping[str, jax.Array]:
        """Return what a step, by default that of predictions, gives instead of sums."""
        spec, size = self.experiment.dataset.spec, jax.tree.leaves(inputs)[0].shape[0]
        targets = jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), spec.targets)
        batch = Batch(inputs, targets, jnp.ones((size, *spec.weights), jnp.float32))
        step = step or steps.predict_step(self.experiment.model, self.experiment.task)
        prepared = steps.prepare(step, self.experiment.dataset.transform)
        answers: Any = prepared(state, batch)[1]
        return dict(answers)

    @cached_property
    def _compiled(self) -> dict[int, tuple[Decoding | None, Program]]:
        return {}

    def _programs(self, beams: int) -> tuple[Decoding | None, Program]:
        """Return how outputs are decoded with a beam of this width, if they are, and the program, made once."""
        if beams not in self._compiled:
            decoding = decoding_of(self.experiment, beams)
            step = decoding.step if decoding else None
            program = jax.jit(lambda inputs, state: self._answered(inputs, state, step))
            self._compiled[beams] = decoding, program
        return self._compiled[beams]

    @cached_property
    def _placed(self) -> TrainState:
        placed: TrainState = jax.device_put(self.state)
        return placed

    def _parts(self, rows: "NewRows", beams: int) -> Iterator[dict[str, np.ndarray]]:
        """Yield the predictions of some rows at a time, in batches of few sizes, each compiled once."""
        if not rows.size:
            raise UserError("there is no row to predict; give one or more")
        decoding, program = self._programs(beams)
        most = max(size for size in SIZES if size == 1 or not decoding or size <= decoding.rows)
        for start in range(0, rows.size, most):
            count = min(most, rows.size - start)
            size = next(size for size in SIZES if size >= count)

            def filled(leaf: np.ndarray, start: int = start, count: int = count, size: int = size) -> np.ndarray:
                part = leaf[start : start + count]
                return part if count == size else np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])

            found = program(jax.tree.map(filled, rows.inputs), self._placed)
            there = {name: np.asarray(column)[:count] for name, column in found.items()}
            yield decoding.finish(there) if decoding else there


def variables_of(state: TrainState) -> dict[str, Any]:
    """Return the variables that a state is evaluated with: averaged weights where there are some."""
    return {"params": optimizer_state.evaluated(state.params, state.opt_state), **state.model_state}


def restore(
    folder: Path | str, checkpoint: Which = "best", *, experiment: Experiment | None = None, log: Log | None = print
) -> Trained:
    """Return the model of a run, from its folder alone: on another machine, without the data it was trained on.

    checkpoint: "best" on validation, where the run has one, "last", or "tested", the one that its report is of.
    experiment: of a run that no page made.
    log: of a checkpoint that is damaged, in whose place the one before it is taken.
    """
    folder = run_folder.local(folder)
    made = experiment or restored_experiment(folder)
    checkpoints = Checkpoints(folder / "checkpoints", made.better, monitor=made.monitor, run=run_folder.digest(folder))
    found = checkpoints.chosen(checkpoint, lambda step: (step, checkpoints.variables(step)), logger(log))
    if found is None:
        raise no_checkpoint(folder)
    return Trained(experiment=made, folder=folder, step=found[0], variables=found[1])


def no_checkpoint(folder: Path) -> UserError:
    """Return the error about a run that has not saved yet."""
    return UserError(f"--workdir={folder} holds no checkpoint yet; let training reach its first save")


def restored_experiment(folder: Path, *, dataset: str | None = None) -> Experiment:
    """Return the experiment of a run as its folder keeps it; its data is read only where examples are needed.

    dataset: where the data lies now, if not where it lay in training.
    """
    copy = page_of(folder)
    kept = read_json(file) if (file := folder / "dataset.json").exists() else {}
    if KEPT not in kept:
        why = (
            "was trained before fdl 0.2 kept a dataset's plan; give its flags"
            if kept
            else "lacks dataset.json; copy all"
        )
        raise UserError(f"--workdir={folder} {why}")
    identity = read_json(folder / "experiment.json")["identity"]
    contents = identity.get("files", "")

    def make(options: Mapping[str, Any], **moved: Any) -> Experiment:
        made = maker(str(copy.page.path))(**{**copy.knobs, **moved})
        made = apply_options(made, **options)
        return replace(made, monitor=copy.monitor, accumulate=identity.get("accumulate", 1))

    moved = {} if dataset in (None, copy.knobs.get("dataset")) else {"dataset": dataset}
    whole = {name: value for name, value in copy.options.items() if name != "fold"}  # of which a fold takes its rows
    data = RunData(folder=folder, fitted=kept, contents="" if moved else contents, make=partial(make, whole, **moved))
    with restoring(KeptDataset(value=kept, contents=contents, load=data.load)):
        return make(copy.options)
