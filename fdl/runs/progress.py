"""Training progress: what a run keeps besides its state, stored in checkpoints."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fdl.core.errors import Fault
from fdl.core.types import Sum, Sums, add_up

HOPELESS = 64  # updates skipped in a row, more than halve the largest loss scale to the smallest
WAY_OUT = "lower the learning rate, mend the data, or compute in more bits (--precision=bfloat16, or none)"


@dataclass
class Standing:
    """How evaluations went so far.

    best: the best score of an evaluation, None before there is one. stale: evaluations in a row since then.
    """

    best: float | None = None
    stale: int = 0

    def is_best(self, score: float | None, better: Literal["higher", "lower"] | None) -> bool:
        """Say whether a score is the best so far, and remember it if so; what is no number never is.

        Counts the evaluations in a row that are not; a score of None is no evaluation.
        """
        if score is None or better is None:
            return False
        self.stale += 1
        if math.isnan(score):
            return False
        if self.best is not None and (score >= self.best if better == "lower" else score <= self.best):
            return False
        self.best, self.stale = score, 0
        return True


@dataclass
class Progress(Standing):
    """Training progress besides the state, stored in each checkpoint's meta.json.

    metrics: the latest of each split. window: the training sums since the last log line.
    lap: steps, seconds and seconds of waiting for input since the last log line.
    seconds, compile_seconds: spent in training steps and in compiling them, over all starts.
    members: the standing of each member of a population that stops by patience.
    skipped: number of skipped non-finite updates; skipped_in_a_row: of these, consecutive ones up to now.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    window: Sums = field(default_factory=dict)
    lap: tuple[float, float, float] = (0, 0.0, 0.0)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    members: list[Standing] = field(default_factory=list)
    skipped: int = 0
    skipped_in_a_row: int = 0

    def add_calls(self, sent: Sequence[Sums], seconds: float, compile_seconds: float, waited: float = 0.0) -> None:
        """Add what calls returned and the time they took, compiling included; `waited` of it for input."""
        self.window = add_up(sent, self.window)
        before, steps = self.lap, sum(len(np.asarray(next(iter(sums.values())).weight)) for sums in sent)
        self.lap = before[0] + steps, before[1] + seconds - compile_seconds, before[2] + waited
        self.seconds += seconds - compile_seconds
        self.compile_seconds += compile_seconds
        self._count_skipped(sent)

    def speed(self, batch_size: int) -> dict[str, float]:
        """Return the speed since the last log line and the share of it spent waiting for input, and start over."""
        (steps, seconds, waited), self.lap = self.lap, (0, 0.0, 0.0)
        if seconds <= 0:  # a clock that stands still
            return {}
        rates = {"steps_per_second": steps / seconds, "examples_per_second": steps * batch_size / seconds}
        return {**rates, "input_wait": min(1.0, waited / seconds)}

    def _count_skipped(self, sent: Sequence[Sums]) -> None:
        """Count skipped updates of these calls, from their sums "skipped", [S] or [S, P] each."""
        for sums in sent:
            if "skipped" in sums:
                total = np.asarray(sums["skipped"].total)
                # of a population, the updates that every member skipped
                skipped: np.ndarray = np.all(total.reshape(len(total), -1) > 0, axis=1)
                self.skipped += int(skipped.sum())
                whole = bool(skipped.all())
                self.skipped_in_a_row = self.skipped_in_a_row + len(skipped) if whole else int(np.argmin(skipped[::-1]))

    def over(self, patience: int | None, minutes: float | None) -> str:
        """Return why training is to stop before its last step, "" where it is not: from what checkpoints hold alone."""
        stale = min(each.stale for each in self.members or [self])
        if patience is not None and stale >= patience:
            return f"{stale} evaluations without a better one" + (" of any member" if self.members else "")
        if minutes is not None and self.seconds >= 60 * minutes:
            return f"{self.seconds / 60:.3g} minutes of training"
        return ""

    def raise_if_hopeless(self, step: int) -> None:
        """Raise a Fault if updates are not finite even at the smallest loss scale: training makes no progress."""
        if self.skipped_in_a_row > HOPELESS:
            raise Fault(
                f"step {step}: the last {self.skipped_in_a_row} updates were not finite at any loss scale; {WAY_OUT}"
            )

    def raise_if_nothing_learned(self, step: int) -> None:
        """Raise a Fault if no update of the whole run was finite."""
        if self.skipped == step:
            raise Fault(f"none of the {step} updates was finite, so nothing was learned; {WAY_OUT}")

    def as_json(self) -> dict[str, Any]:
        """Return the progress in JSON's types; floats round-trip exactly."""
        window = {name: [np.asarray(x).tolist() for x in s] for name, s in self.window.items()}
        return {**vars(self), "window": window, "members": [vars(each) for each in self.members]}

    @classmethod
    def from_json(cls, meta: Mapping[str, Any]) -> "Progress":
        """Return the progress from `as_json`; fields that version 0.1.0 did not write have their defaults."""
        window = {name: Sum(np.array(pair[0]), np.array(pair[1])) for name, pair in meta["window"].items()}
        known = {name: meta[name] for name in vars(cls()) if name in meta}
        members = [Standing(**each) for each in meta.get("members", ())]
        lap = tuple(known.get("lap", cls.lap))
        return cls(**{**known, "window": window, "members": members, "lap": lap})
