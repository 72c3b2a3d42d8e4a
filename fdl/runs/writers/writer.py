"""The one protocol of everything that a run's metrics are written to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fdl.runs.report.gallery import Example

Examples = Mapping[str, Sequence[Example]]  # what they are, such as the surest mistakes -> examples with predictions


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run as its writers know it when training starts.

    workdir: the run folder. config: what was chosen, by knob; of a varied knob of a population all values.
    step:    that training resumes from, 0 in a new run.
    history: the lines of metrics.jsonl up to that step, oldest first, without the test split, which is measured again.
    """

    workdir: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return self.workdir.resolve().name

    @property
    def project(self) -> str:
        """The project that the run belongs to: the folder around its own, in `runs/` the experiment's name."""
        around = self.workdir.resolve().parent.name
        return around if around not in ("", "runs") else str(self.config.get("experiment", "fdl"))


@runtime_checkable
class Writer(Protocol):
    """Takes the metrics of a run: a subclass defines what it needs of these methods, and the others do nothing.

    All are called in the first process alone, between training calls, so that training waits for them.
    """

    # The bodies return, so that type checkers do not take the methods for abstract.

    def start(self, run: RunInfo) -> None:
        """Begin, or go on after `run.step`: what was written of later steps is written again, with the same values."""
        return

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Take the values of one split at one step: numbers, and tables as nested lists."""
        return

    def show(self, split: str, step: int, examples: Examples) -> None:
        """Take examples of a split with predictions at one step, at evaluations now and then."""
        return

    def flush(self) -> None:
        """Keep what was written for good: a checkpoint of the same step follows."""
        return

    def finish(self, report: Mapping[str, Any], examples: Examples) -> None:
        """Take the report of a finished run, as in report.json, and examples of the test split with predictions."""
        return

    def close(self, error: BaseException | None) -> None:
        """End; `error` is what stopped the run, None where it is finished."""
        return


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those of the values that are one number, as a number of Python's."""
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def tag_of(split: str, title: str) -> str:
    """Return the tag of examples, the same in all runs: `test/the_surest_mistakes` of "The surest mistakes, 6 of 9"."""
    return f"{split}/{re.sub(r'[^a-z0-9]+', '_', title.partition(',')[0].lower())}"
