"""Evaluate a run from its checkpoints, on all three splits or on new data with its targets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fdl.core.errors import UserError
from fdl.core.log import Log, logger
from fdl.core.types import TrainState
from fdl.engine.error_rates import evaluate_splits, with_new_data
from fdl.engine.placement import prepare
from fdl.experiment import Experiment
from fdl.parallel import processes
from fdl.parallel.executors import Executor
from fdl.runs import atomic_files
from fdl.runs import workdir as run_folder
from fdl.runs.checkpoints import together
from fdl.runs.checkpoints.manager import Checkpoints, Which
from fdl.runs.checkpoints.saved import shared
from fdl.runs.progress_bar import brief
from fdl.trained import no_checkpoint


@run_folder.on_local_folder
def evaluate(
    experiment: Experiment,
    workdir: Path | str,
    *,
    input: str | None = None,
    checkpoint: Which = "tested",
    log: Log | None = print,
) -> dict[str, Any]:
    """Return the metrics of every split at a checkpoint of a run, and write its evaluation.json.

    input: new data with their targets instead, see `fdl.data.modalities.new_targets`: they are the split "new".
    """
    log = logger(log)
    workdir = run_folder.local(workdir)
    executor = prepare(experiment)
    step, state = trained(experiment, workdir, checkpoint, log, executor)
    splits = list(experiment.dataset.spec.sizes)
    if input is not None:
        experiment, *splits = with_new_data(experiment, input)
        for note in experiment.dataset.notes:
            log(note)
    metrics = {}
    for split, measured in evaluate_splits(experiment, executor, state, splits, log):
        metrics[split] = measured
        log(f"step {step} {split} {brief(measured)}")
    result = {"experiment": experiment.name, "step": step, "metrics": metrics}
    with processes.process_workdir(workdir) as local_workdir:
        if (local_workdir / "experiment.json").exists():  # there is no run when published weights are evaluated
            atomic_files.write_json(local_workdir / "evaluation.json", result)
    return result


def trained(
    experiment: Experiment,
    workdir: Path,
    checkpoint: Which,
    log: Callable[[str], None],
    executor: Executor | None = None,
) -> tuple[int, TrainState]:
    """Return the step and the state of a checkpoint of a run; raise a ValueError if there is none.

    Published weights need no run: without one they are step 0. executor: places the state, of which each of several
    processes reads its shards alone; without it each has the whole state on the host.
    """
    put = executor.put_state if executor is not None else lambda state: state
    if experiment.init_from is not None and not processes.on_first_process(
        lambda: (workdir / "experiment.json").exists()
    ):
        return 0, put(experiment.init())
    identity = experiment.identity()
    processes.on_first_process(lambda: refuse_strangers(workdir, identity, log))
    like = experiment.abstract()
    with processes.process_workdir(workdir) as local_workdir:
        local = Checkpoints(
            local_workdir / "checkpoints",
            experiment.better,
            monitor=experiment.monitor,
            run=run_folder.digest(local_workdir),
        )
        alone = executor is None or processes.count() == 1
        checkpoints = local if executor is None or alone else together.Together(local, executor)
        saved = checkpoints.chosen(checkpoint, lambda step: checkpoints.saved(step, like), log)
        saved = shared(saved, like) if alone else saved
    if saved is None:
        raise no_checkpoint(workdir)
    if checkpoint == "best" and saved.meta.get("score") is not None:
        log(f"step {saved.step} is the best by validation {experiment.monitor}")
    return saved.step, put(saved.state) if alone else saved.state


def refuse_strangers(workdir: Path, identity: Mapping[str, Any], log: Callable[[str], None]) -> None:
    """Raise a ValueError if the folder holds no run or another one; log if the page was edited since."""
    if not (workdir / "experiment.json").exists():
        raise UserError(f"--workdir={workdir} holds no run; train first with the same command without --mode")
    run_folder.refuse_other(workdir, identity, log)
