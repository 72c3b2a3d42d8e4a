"""The cadence of logging, evaluation and saving, and how the steps between them are grouped into calls.

Everything is a function of the absolute step, so a resumed run groups its remaining steps into the same programs as an
uninterrupted one: this is why its results are bit-identical.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """How often a run logs, evaluates and saves, in steps; 0 means only at the end."""

    steps: int
    log: int
    evaluate: int
    save: int
    steps_per_call: int = 1

    def logs(self, step: int) -> bool:
        """Return whether the training metrics are logged at this step."""
        return self._at(step, self.log)

    def evaluates(self, step: int) -> bool:
        """Return whether the validation split is evaluated at this step."""
        return self._at(step, self.evaluate)

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is saved at this step."""
        return self._at(step, self.save)

    def any(self, step: int) -> bool:
        """Return whether anything is due at this step, so that all dispatched work must finish."""
        return self.logs(step) or self.evaluates(step) or self.saves(step)

    def call(self, step: int) -> int:
        """Return the number of steps of the call that starts here: `steps_per_call`, or 1 if that would overshoot."""
        intervals = [every for every in (self.log, self.evaluate, self.save) if every]
        before = max((step // every * every for every in intervals), default=0)
        after = min([self.steps, *((step // every + 1) * every for every in intervals)])
        whole = before + (after - before) // self.steps_per_call * self.steps_per_call
        return self.steps_per_call if step < whole else 1

    def _at(self, step: int, every: int) -> bool:
        return step == self.steps or (bool(every) and step > 0 and step % every == 0)


def cadence_of(steps: int, log: int, evaluate: int | None, save: int | None, steps_per_call: int) -> Cadence:
    """Make the Cadence of a run; see Experiment for what None means."""
    if evaluate is None:
        evaluate = max(steps // 10 // log, 1) * log
    return Cadence(
        steps=steps,
        log=log,
        evaluate=evaluate,
        save=evaluate if save is None else save,
        steps_per_call=max(1, min(steps_per_call, log, steps)),
    )
