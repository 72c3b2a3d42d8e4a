"""Studies: Optuna chooses the settings of the next run from what the runs before it reached."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.core.errors import Fault
from fdl.experiment import Experiment
from fdl.modes.train import train
from fdl.runs import lock
from fdl.runs.workdir import local

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


def study(
    make: Callable[..., Experiment],
    suggest: Callable[["Trial"], dict[str, Any]],
    workdir: Path | str,
    *,
    trials: int,
    name: str = "study",
    storage: str | None = None,
    log: Callable[[str], None] = print,
) -> "Study":
    """Run `trials` more experiments `make(**suggest(trial))`, each in a folder of its own, and return Optuna's study.

    storage: Optuna's, such as sqlite:///study.db or a server's; processes on any machines that give the same name and
             storage work on one study. None keeps it in memory.
    What is optimised is the primary metric on validation. A run that ends in a Fault is a trial that failed. So is one
    that was stopped, or killed and left its folder here; the next trial takes its settings and goes on in its folder.
    """
    import optuna

    task, workdir = make().task, local(workdir)
    lower = task.metrics[task.primary].better == "lower"
    chosen = optuna.create_study(
        storage=storage, study_name=name, direction="minimize" if lower else "maximize", load_if_exists=True
    )
    for left in chosen.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if _is_abandoned(workdir / _folder(left)):
            _put_off(chosen, left)
    for _ in range(trials):
        trial = chosen.ask()
        try:
            report = train(make(**suggest(trial)), workdir / _folder(trial), log=log)
        except KeyboardInterrupt:  # Stopped is one
            _put_off(chosen, trial)
            raise
        except BaseException as error:
            chosen.tell(trial, state=optuna.trial.TrialState.FAIL)
            if not isinstance(error, Fault):
                raise
            log(f"trial {trial.number} failed: {error}")
        else:
            value = report["metrics"]["validation"][task.primary]
            if value is None or math.isnan(value):  # null where a finished run's report is read again
                log(f"trial {trial.number} failed: its validation {task.primary} is not a number")
                chosen.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                chosen.tell(trial, value)
    return chosen


def _folder(trial: "Trial | FrozenTrial") -> str:
    return trial.user_attrs.get("folder", str(trial.number))


def _is_abandoned(folder: Path) -> bool:
    """Say whether a run was begun in a folder and no process of this machine is in it."""
    try:
        lock.refuse_held(folder)
    except ValueError:
        return False
    return folder.exists()


def _put_off(study: "Study", trial: "Trial | FrozenTrial") -> None:
    """End a trial whose run has not ended, and have the next one go on in its folder."""
    from optuna.trial import TrialState

    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(trial.params, user_attrs={"folder": _folder(trial)})
