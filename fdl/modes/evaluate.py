"""Evaluation of a finished or half-finished run from its checkpoints, on all three splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fdl import folder as run_folder
from fdl.checkpoint import Checkpoints
from fdl.experiment import Experiment, check, place
from fdl.program import Evaluation
from fdl.progress import brief
from fdl.types import TrainState


def evaluate(
    experiment: Experiment,
    workdir: Path | str,
    *,
    checkpoint: Literal["last", "best"] = "last",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Return the metrics of every split at the last or best checkpoint of a run, and write evaluation.json."""
    workdir = Path(workdir)
    executor = place(experiment)
    check(experiment, executor.shares)
    step, found = trained(experiment, workdir, checkpoint, say)
    state = executor.put_state(found)
    metrics = {}
    for split in experiment.dataset.spec.sizes:
        state, metrics[split] = Evaluation(experiment, executor, split)(state)
        say(f"step {step} {split} {brief(metrics[split])}")
    result = {"experiment": experiment.name, "step": step, "metrics": metrics}
    run_folder.write_json(workdir / "evaluation.json", result)
    return result


def trained(
    experiment: Experiment, workdir: Path, checkpoint: Literal["last", "best"], say: Callable[[str], None]
) -> tuple[int, TrainState]:
    """Return the step and the state of a run's last or best checkpoint; raise a ValueError where there is none."""
    if not (workdir / "experiment.json").exists():
        raise ValueError(f"--workdir={workdir} holds no run; train first with the same command without --mode")
    run_folder.refuse_other(workdir, experiment.identity())
    task = experiment.task
    checkpoints = Checkpoints(workdir / "checkpoints", task.metrics[task.primary].better)
    like = experiment.abstract()
    step = checkpoints.best() if checkpoint == "best" else None
    if step is not None:
        return step, checkpoints.restore(step, like)
    if newest := checkpoints.newest(like, say):
        return newest.step, newest.state
    raise ValueError(f"--workdir={workdir} holds no checkpoint yet; let training reach its first save")
