"""Hyperparameter search with Optuna."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.core.errors import Fault, UserError
from fdl.experiment import Experiment
from fdl.modes.train import train
from fdl.runs import lock
from fdl.runs.stores.store import is_address
from fdl.runs.workdir import local

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


def study(
    make: Callable[..., Experiment],
    suggest: Callable[["Trial"], dict[str, Any]],
    workdir: Path | str,
    *,
    trials: int,
    name: str = "study",
    storage: "str | BaseStorage | None" = None,
    log: Callable[[str], None] = print,
) -> "Study":
    """Run `trials` more experiments `make(**suggest(trial))`, each in a separate folder, and return Optuna's study.

    storage: Optuna's, such as sqlite:///study.db, a server's, or an object of it; processes on any machine with the
             same name and storage share one study. None keeps it in memory.
    The objective is the primary metric on validation. A run that ends in a Fault is a failed trial. So is one that was
    stopped, or killed and left its folder here; the next trial takes over its settings and resumes in its folder.
    """
    import optuna

    if is_address(workdir):
        raise UserError(f"a study needs a folder for its runs and {workdir} is none; give a folder")
    task, workdir = make().task, local(workdir)
    lower = task.metrics[task.primary].better == "lower"
    optuna_study = optuna.create_study(
        storage=storage, study_name=name, direction="minimize" if lower else "maximize", load_if_exists=True
    )
    for unfinished in optuna_study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if _is_abandoned(workdir / _folder(unfinished)):
            _put_off(optuna_study, unfinished)
    for _ in range(trials):
        trial = optuna_study.ask()
        try:
            report = train(make(**suggest(trial)), workdir / _folder(trial), log=log)
        except KeyboardInterrupt:  # Stopped is one
            _put_off(optuna_study, trial)
            raise
        except BaseException as error:
            optuna_study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if not isinstance(error, Fault):
                raise
            log(f"trial {trial.number} failed: {error}")
        else:
            value = report["metrics"]["validation"][task.primary]
            if value is None or math.isnan(value):  # JSON null in the report of a finished run
                log(f"trial {trial.number} failed: its validation {task.primary} is not a number")
                optuna_study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                optuna_study.tell(trial, value)
    return optuna_study


def _folder(trial: "Trial | FrozenTrial") -> str:
    result: str = trial.user_attrs.get("folder", str(trial.number))
    return result


def _is_abandoned(folder: Path) -> bool:
    """Return whether a folder holds a started run that no process of this machine is running."""
    try:
        lock.refuse_held(folder)
    except ValueError:
        return False
    return folder.exists()


def _put_off(study: "Study", trial: "Trial | FrozenTrial") -> None:
    """Mark an unfinished trial as failed and enqueue its settings, to be resumed in its folder."""
    from optuna.trial import TrialState

    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(trial.params, user_attrs={"folder": _folder(trial)})
