"""How the chance of the second of two classes becomes an answer: from which chance on, and how sure chances are.

Both are chosen on validation, kept in the report of a run, and applied to predictions where that is asked for.

Shape legend: B batch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from fdl.core.errors import UserError
from fdl.core.types import Array, PyTree
from fdl.experiment import Experiment
from fdl.runs import workdir as run_folder

BEST = "best"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The second class is answered from a threshold on, of chances whose log-odds are divided by the temperature."""

    threshold: float = 0.5
    temperature: float = 1.0

    def answers(self, predicted: Mapping[str, Array]) -> dict[str, Array]:
        """Return the predictions of `classify(2)` or `binary()` with these chances, decided by this threshold."""
        of_each = predicted.get("probabilities")
        second = predicted["probability"] if of_each is None else of_each[..., 1]
        first = 1 - second if of_each is None else of_each[..., 0]
        odds = (jnp.log(second) - jnp.log(first)) / self.temperature
        chances = jax.nn.sigmoid(jnp.stack([-odds, odds], -1))
        number = (chances[..., 1] >= self.threshold).astype(jnp.int32)
        if of_each is None:
            return {**predicted, "class": number, "probability": chances[..., 1]}
        answered = jnp.take_along_axis(chances, number[..., None], -1)[..., 0]
        return {**predicted, "class": number, "probability": answered, "probabilities": chances}


def decided(
    experiment: Experiment,
    folder: Path,
    step: int,
    *,
    threshold: str | float | None = None,
    calibrated: bool = False,
    log: Callable[[str], None] = print,
) -> Experiment:
    """Return the experiment whose task predicts two classes by a threshold and calibrated chances.

    folder, step: of the run and of the checkpoint that predicts. threshold: a chance of the second class, or "best",
    that of the highest F1 on validation. calibrated: chances have the temperature of the least loss on validation.
    Raises a UserError where the task has not two classes, or the run has not chosen what is asked for.
    """
    if threshold is None and not calibrated:
        return experiment
    task = experiment.task
    if "threshold" not in task.metrics:
        raise UserError(
            f"--{'calibrate' if threshold is None else 'threshold'} is of two classes, and {experiment.name} predicts "
            "something else; leave it out"
        )
    chosen = _chosen(folder, step) if threshold == BEST or calibrated else {}
    temperature = _number(chosen, "temperature", folder) if calibrated else 1.0
    if threshold == BEST:
        from_chance = _number(chosen, "threshold", folder)
        if 0 < from_chance < 1:  # of chances as the model gives them
            from_chance = 1 / (1 + math.exp(-math.log(from_chance / (1 - from_chance)) / temperature))
    else:
        from_chance = _given(threshold)
    decision, before = Decision(threshold=from_chance, temperature=temperature), task.predict
    names = experiment.dataset.spec.names or ("0", "1")
    why = ", of the highest F1 on validation" if threshold == BEST else ""
    log(
        f"answers {names[1]} from a probability of {from_chance:.4g} on{why}"
        + calibrated * (f"; probabilities at temperature {temperature:.4g}, of the least loss on validation")
    )
    assert before is not None

    def predict(outputs: PyTree) -> Mapping[str, Array]:
        return decision.answers(before(outputs))

    return replace(experiment, task=replace(task, predict=predict))


def _given(threshold: str | float | None) -> float:
    """Return a threshold that was given, a half where none was."""
    try:
        value = 0.5 if threshold is None else float(threshold)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UserError(f"--threshold={threshold} is no probability; give one from 0 to 1, or best")
    return value


def _chosen(folder: Path, step: int) -> Mapping[str, Any]:
    """Return the metrics on validation of the state that a run was tested on."""
    file = folder / "report.json"
    if not file.exists():
        raise UserError(
            f"{folder} has no report yet, which holds the threshold and temperature; let training end, or give "
            "--threshold=0.3"
        )
    report = run_folder.read_report(file)
    tested = report.get("best_step") if report.get("tested") == BEST else report["step"]
    if tested != step:
        raise UserError(
            f"the threshold and temperature of {folder} were chosen for step {tested}, and this is step {step}; leave "
            "out --checkpoint, or give --threshold=0.3"
        )
    found: Mapping[str, Any] = report["metrics"].get("validation", {})
    return found


def _number(chosen: Mapping[str, Any], name: str, folder: Path) -> float:
    value = chosen.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(
            f"{folder} has no {name} of its validation split, which lacks one of the classes or was measured by an "
            "earlier fdl; give --threshold=0.3 without --calibrate"
        )
    return float(value)
