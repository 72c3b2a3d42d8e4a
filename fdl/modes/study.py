"""Studies: Optuna chooses the settings of the next run from what the runs before it reached."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdl.core.errors import Fault
from fdl.experiment import Experiment
from fdl.modes.train import train

if TYPE_CHECKING:
    from optuna import Study, Trial


def study(
    make: Callable[..., Experiment],
    suggest: Callable[["Trial"], dict[str, Any]],
    workdir: Path | str,
    *,
    trials: int,
    name: str = "study",
    storage: str | None = None,
    say: Callable[[str], None] = print,
) -> "Study":
    """Run `trials` more experiments `make(**suggest(trial))`, each in a folder of its own, and return Optuna's study.

    storage: Optuna's, such as sqlite:///study.db or a server's; processes on any machines that give the same name and
             storage work on one study. None keeps it in memory.
    What is optimised is the primary metric on validation. A run that ends in a Fault is a trial that failed.
    """
    import optuna

    task = make().task
    lower = task.metrics[task.primary].better == "lower"
    chosen = optuna.create_study(
        storage=storage, study_name=name, direction="minimize" if lower else "maximize", load_if_exists=True
    )

    def objective(trial: "Trial") -> float:
        report = train(make(**suggest(trial)), Path(workdir) / str(trial.number), say=say)
        return report["metrics"]["validation"][task.primary]

    chosen.optimize(objective, n_trials=trials, catch=(Fault,))
    return chosen
