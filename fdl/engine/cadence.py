"""What is due when: logging, evaluation and saving, and how the steps between are cut into calls.

Everything here is a function of the absolute step, so a run that was interrupted cuts the rest of its steps into the
very same programs as one that was not: that is why it ends with the same bits.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """When a run logs, evaluates and saves: all in steps, 0 for never before the end."""

    steps: int
    log: int
    evaluate: int
    save: int
    steps_per_call: int = 1

    def logs(self, step: int) -> bool:
        """Say whether the training means are written at this step."""
        return self._at(step, self.log)

    def evaluates(self, step: int) -> bool:
        """Say whether the validation split is evaluated at this step."""
        return self._at(step, self.evaluate)

    def saves(self, step: int) -> bool:
        """Say whether a checkpoint is taken at this step."""
        return self._at(step, self.save)

    def any(self, step: int) -> bool:
        """Say whether anything is due, so that the device must be drained here."""
        return self.logs(step) or self.evaluates(step) or self.saves(step)

    def call(self, step: int) -> int:
        """Return how many steps the call that starts here makes: `steps_per_call`, or 1 where that would overshoot."""
        rhythms = [every for every in (self.log, self.evaluate, self.save) if every]
        before = max((step // every * every for every in rhythms), default=0)
        after = min([self.steps, *((step // every + 1) * every for every in rhythms)])
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
